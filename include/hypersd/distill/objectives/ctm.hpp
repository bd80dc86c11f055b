// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/consistency.hpp>

namespace hypersd::distill {

/// Consistency trajectory model (Kim et al. 2024) in the form that the paper compares with, which is trajectory
/// consistency distillation (TCD, Zheng et al. 2024): jumps to any time below. [Hyper-SD Eq. 5]
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Mse,
          class TeacherSolver = diffusion::DdimOde>
using Ctm = Consistency<Anywhere, Process, Metric, TeacherSolver>;

/// The same under its other name.
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Mse>
using TcdObjective = Ctm<Process, Metric>;

}  // namespace hypersd::distill
