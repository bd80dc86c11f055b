// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// Euler's method on the probability-flow ODE in the variance-exploding coordinates of Karras et al. ("Elucidating the
/// design space of diffusion-based generative models", Eq 1, Algorithm 1 without its second half): with y = x / alpha
/// and s = sigma / alpha, dy/ds = eps, so y' = y + (s' - s) epshat. This is DDIM with eta = 0 in other coordinates.
struct Euler {
  struct Options {};
  static constexpr const char* name = "euler";
  static constexpr bool stochastic = false;
  Options options{};

  template <DiffusionProcess Process>
  [[nodiscard]] StepCoefficients step(const Process& process, StepTimes t) const {
    return step_of(form(process, t.from, t.to));
  }

  /// y + (s' - s) epshat, back in x. At zero terminal SNR s is infinite, and the limit is the DDIM jump.
  template <DiffusionProcess Process>
  static Form form(const Process& process, Time from, Time to) {
    const Level a = process.level(from), b = process.level(to);
    if (from == to) return {1, 0};
    if (a.alpha == 0) return process.jump(from, to);
    const Form eps = process.eps(from);
    const double advance = b.alpha * (b.sigma / b.alpha - a.sigma / a.alpha);
    return {b.alpha / a.alpha + advance * eps.x, advance * eps.prediction};
  }
};
static_assert(AffineSolver<Euler> && DeterministicSolver<Euler>);

}  // namespace hypersd::diffusion
