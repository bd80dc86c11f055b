// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/distances/huber.hpp>

namespace hypersd::distill {

/// Phased consistency: always to the beginning of the segment of t_n, for a number of segments known at run time.
template <SegmentRule Rule = TrailingBoundary>
struct ToSegmentStarts {
  int k = 4;
  [[nodiscard]] EndRange range(const SolverGrid& grid, int n) const {
    const EndRange whole = WithinSegments<Rule>{k}.range(grid, n);
    return {whole.first, whole.first, whole.floor};
  }
};
/// The same with k in the type.
template <int segments, SegmentRule Rule = TrailingBoundary>
struct ToSegmentStart : ToSegmentStarts<Rule> {
  static_assert(segments >= 1, "PCM needs at least one segment");
  ToSegmentStart() : ToSegmentStarts<Rule>{segments} {}
};

/// Phased consistency model (Wang et al. 2024) with k phases: TSCD whose jumps always go to the segment's end, in one
/// stage and by the Huber distance.
template <int k, diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Huber,
          SegmentRule Rule = TrailingBoundary>
using Pcm = Consistency<ToSegmentStart<k, Rule>, Process, Metric>;

}  // namespace hypersd::distill
