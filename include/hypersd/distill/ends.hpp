// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/grid.hpp>

/// \file
/// The only thing in which the consistency objectives differ: to which times t_end a jump from grid point n may go.

namespace hypersd::distill {

/// End points of a jump from grid point n: grid points `first` to `last`, both included. `floor` is the lowest time
/// that the teacher's step may reach.
struct EndRange {
  int first = 0, last = 0;
  diffusion::Time floor = 0;
};

/// A policy for t_end: `range(grid, n)` for n in [1, N].
template <class R>
concept EndRule = requires(const R& rule, const SolverGrid& grid) {
  { rule.range(grid, 1) } -> std::same_as<EndRange>;
};

/// End points of a jump from a real time of a continuous process: from `low` to `high`, both included.
struct EndInterval {
  diffusion::Time low = 0, high = 0;
};

/// The same policy at every real time t: `interval(process, t)`.
template <class R, class Process>
concept ContinuousEndRule = requires(const R& rule, const Process& process) {
  { rule.interval(process, 0.5) } -> std::same_as<EndInterval>;
};

/// Where the segment of a real time begins, for k segments at equal shares of the way from clean data to noise
/// (`at(j / k)` of the schedule): a time on a boundary belongs to the segment below.
template <diffusion::DiffusionProcess Process>
diffusion::Time segment_start(const Process& process, diffusion::Time t, int k) {
  require<OptionError>(k >= 1, "segments: k = ", k, " is not at least 1");
  int j = k - 1;
  while (j > 0 && process.schedule().at(static_cast<double>(j) / k) >= t) --j;
  return process.schedule().at(static_cast<double>(j) / k);
}

/// Consistency distillation: always to the end of the trajectory. [Hyper-SD Eq. 4]
struct ToTheEnd {
  [[nodiscard]] EndRange range(const SolverGrid& grid, int) const { return {0, 0, grid[0]}; }
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] EndInterval interval(const Process& process, diffusion::Time) const {
    return {process.first(), process.first()};
  }
};

/// Trajectory consistency: anywhere from the end of the trajectory to the teacher's step. [Hyper-SD Eq. 5]
struct Anywhere {
  [[nodiscard]] EndRange range(const SolverGrid& grid, int n) const { return {0, n - 1, grid[0]}; }
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] EndInterval interval(const Process& process, diffusion::Time t) const {
    return {process.first(), t};
  }
};

/// Trajectory segmented consistency: anywhere in the segment of t_n, for a number of segments known at run time.
/// [Hyper-SD Eq. 12]
template <SegmentRule Rule = TrailingBoundary>
struct WithinSegments {
  int k = 8;
  [[nodiscard]] EndRange range(const SolverGrid& grid, int n) const {
    require<OptionError>(k >= 1 && k <= grid.points(), "TSCD: k = ", k, " is not in [1, ", grid.points(),
                         "], the solver grid's points");
    const diffusion::Time floor = grid.segment_start<Rule>(n, k);
    // Down to the point at or below t_b, which a draw raises to t_b: it is reached also where it is not a grid point.
    int first = n - 1;
    while (first > 0 && grid[first] > floor) --first;
    // The range is empty where the rule puts t_n itself on the boundary: the teacher's own step is the end then.
    return {first, n - 1, floor < grid[n] ? floor : grid[n - 1]};
  }
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] EndInterval interval(const Process& process, diffusion::Time t) const {
    return {segment_start(process, t, k), t};
  }
};

/// The same with k in the type, as a recipe names it.
template <int segments, SegmentRule Rule = TrailingBoundary>
struct WithinSegment : WithinSegments<Rule> {
  static_assert(segments >= 1, "TSCD needs at least one segment");
  WithinSegment() : WithinSegments<Rule>{segments} {}
};

/// Phased consistency: always to the beginning of the segment of t_n, for a number of segments known at run time.
template <SegmentRule Rule = TrailingBoundary>
struct ToSegmentStarts {
  int k = 4;
  [[nodiscard]] EndRange range(const SolverGrid& grid, int n) const {
    const EndRange whole = WithinSegments<Rule>{k}.range(grid, n);
    return {whole.first, whole.first, whole.floor};
  }
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] EndInterval interval(const Process& process, diffusion::Time t) const {
    const diffusion::Time start = segment_start(process, t, k);
    return {start, start};
  }
};
/// The same with k in the type.
template <int segments, SegmentRule Rule = TrailingBoundary>
struct ToSegmentStart : ToSegmentStarts<Rule> {
  static_assert(segments >= 1, "PCM needs at least one segment");
  ToSegmentStart() : ToSegmentStarts<Rule>{segments} {}
};

static_assert(EndRule<ToTheEnd> && EndRule<Anywhere> && EndRule<WithinSegment<8>>);

}  // namespace hypersd::distill
