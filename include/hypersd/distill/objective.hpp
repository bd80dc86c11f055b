// SPDX-License-Identifier: Apache-2.0
#pragma once

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

}  // namespace hypersd::distill
