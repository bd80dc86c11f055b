// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/consistency.hpp>

namespace hypersd::distill {

/// Trajectory segmented consistency distillation with k segments. [Hyper-SD Eq. 12] With k = 1 it is `Ctm`.
template <int k, diffusion::Prediction P = diffusion::Epsilon, class Metric = Mse, SegmentRule Rule = TrailingBoundary>
using Tscd = Consistency<WithinSegment<k, Rule>, P, Metric>;

}  // namespace hypersd::distill
