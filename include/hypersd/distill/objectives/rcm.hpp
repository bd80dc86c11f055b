// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/sum.hpp>

namespace hypersd::distill {

/// Settings of score-regularized continuous-time consistency.
struct RcmOptions {
  ContinuousConsistencyOptions consistency{.times = {.mean = -0.8, .deviation = 1.6}};
  DmdOptions matching{.learn_per_update = 5, .regression_weight = 0};
  double consistency_weight = 100, matching_weight = 1;  ///< published
};

/// Score-regularized continuous-time consistency (Zheng et al., rCM): the sum of sCM's distillation, a forward
/// divergence that keeps modes, and distribution matching, a reverse one that keeps quality, of one student.
template <class Fake, diffusion::DiffusionProcess Process>
Sum<Scd<Process>, Dmd<Fake, Process>> rcm(const Process& process, Fake* fake, const RcmOptions& options = {}) {
  return sum_of(weighted(options.consistency_weight, Scd<Process>(process, options.consistency), "consistency"),
                weighted(options.matching_weight, Dmd<Fake, Process>(process, fake, options.matching)));
}

}  // namespace hypersd::distill
