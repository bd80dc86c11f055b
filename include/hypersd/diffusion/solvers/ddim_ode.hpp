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

  template <Prediction P>
  [[nodiscard]] StepCoefficients step(const NoiseTable& table, StepTimes t) const {
    const Form f = jump_form<P>(table, t.from, t.to);
    return {f.x, f.prediction, 0};
  }
};
static_assert(Solver<DdimOde>);

}  // namespace hypersd::diffusion
