// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/consistency.hpp>

namespace hypersd::distill {

/// Trajectory segmented consistency distillation with k segments. [Hyper-SD Eq. 12] With k = 1 it is `Ctm`.
template <int k, diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Mse,
          SegmentRule Rule = TrailingBoundary>
using Tscd = Consistency<WithinSegment<k, Rule>, Process, Metric>;

}  // namespace hypersd::distill
