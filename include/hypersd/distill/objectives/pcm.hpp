// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/distances/huber.hpp>

namespace hypersd::distill {

/// Phased consistency model (Wang et al. 2024) with k phases: TSCD whose jumps always go to the segment's end, in one
/// stage and by the Huber distance.
template <int k, diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Huber,
          SegmentRule Rule = TrailingBoundary>
using Pcm = Consistency<ToSegmentStart<k, Rule>, Process, Metric>;

}  // namespace hypersd::distill
