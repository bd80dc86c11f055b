// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/diffusion/objective.hpp>

namespace hypersd::distill {

using diffusion::Batch;
using diffusion::LearningObjective;
using diffusion::LossResult;
using diffusion::Objective;
using diffusion::OwnGradients;
using diffusion::Randomness;

/// samples() without a tape: the student's, for what learns from them and records a tape of its own.
template <class F>
auto without_tape(F&& samples) {
  const autograd::NoGrad guard;
  return samples();
}

}  // namespace hypersd::distill
