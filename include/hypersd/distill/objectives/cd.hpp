// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/consistency.hpp>

namespace hypersd::distill {

/// Consistency distillation (Song et al. 2023; latent: Luo et al. 2023): every jump goes to the end. [Hyper-SD Eq. 4]
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>, class Metric = Mse,
          class TeacherSolver = diffusion::DdimOde>
using Cd = Consistency<ToTheEnd, Process, Metric, TeacherSolver>;

}  // namespace hypersd::distill
