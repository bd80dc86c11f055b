// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// DDIM at eta = 0 as a type of its own, which cannot inject noise: the jump Psi, and what objectives that follow the
/// probability-flow ODE take as the teacher's solver. For noise predictions it is Euler's method in x / alpha.
struct DdimOde {
  struct Options {};
  static constexpr const char* name = "ddim_ode";
  static constexpr bool stochastic = false;
  Options options{};

  template <DiffusionProcess Process>
  [[nodiscard]] StepCoefficients step(const Process& process, StepTimes t) const {
    return step_of(process.jump(t.from, t.to));
  }
  template <DiffusionProcess Process>
  [[nodiscard]] Time jump_end(const Process&, StepTimes t) const {
    return t.to;
  }
};
static_assert(DeterministicSolver<DdimOde>);

}  // namespace hypersd::diffusion
