// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/error.hpp>
#include <hypersd/diffusion/objective.hpp>

namespace hypersd::distill {

using diffusion::Batch;
using diffusion::FromSamples;
using diffusion::LearningObjective;
using diffusion::LossResult;
using diffusion::Objective;
using diffusion::OwnGradients;
using diffusion::Randomness;
using diffusion::SamplingObjective;

/// Throws OptionError unless the weight `name` of a term of `objective` is finite and at least 0. A term is left out
/// unless its weight is above 0, so NaN would leave it out in silence.
inline void require_weight(const char* objective, const char* name, double weight) {
  require<OptionError>(std::isfinite(weight) && weight >= 0, objective, ": ", name, " = ", weight,
                       ", not a finite number from 0 on");
}

}  // namespace hypersd::distill
