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

/// Consistency distillation: always to the end of the trajectory. [Hyper-SD Eq. 4]
struct ToTheEnd {
  [[nodiscard]] EndRange range(const SolverGrid& grid, int) const { return {0, 0, grid[0]}; }
};

/// Trajectory consistency: anywhere from the end of the trajectory to the teacher's step. [Hyper-SD Eq. 5]
struct Anywhere {
  [[nodiscard]] EndRange range(const SolverGrid& grid, int n) const { return {0, n - 1, grid[0]}; }
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
};

/// The same with k in the type, as a recipe names it.
template <int segments, SegmentRule Rule = TrailingBoundary>
struct WithinSegment : WithinSegments<Rule> {
  static_assert(segments >= 1, "TSCD needs at least one segment");
  WithinSegment() : WithinSegments<Rule>{segments} {}
};

static_assert(EndRule<ToTheEnd> && EndRule<Anywhere> && EndRule<WithinSegment<8>>);

}  // namespace hypersd::distill
