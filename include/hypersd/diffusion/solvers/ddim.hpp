// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// DDIM (Song et al., Eq 12): x_p = alpha_p x0hat + sqrt(sigma_p^2 - v) epshat + sqrt(v) z with
/// v = eta^2 (sigma_p^2 / sigma_t^2) V, V the variance of re-noising from p up to t (1 - alpha_t^2 / alpha_p^2 where
/// variance is preserved). eta = 0 is deterministic, eta = 1 is DDPM.
struct Ddim {
  struct Options {
    double eta = 0;  ///< share of the DDPM posterior's variance, as a standard deviation; in [0, 1]
  };
  static constexpr const char* name = "ddim";
  static constexpr bool stochastic = true;
  Options options{};

  /// v. Throws OptionError for eta outside [0, 1].
  template <DiffusionProcess Process>
  [[nodiscard]] double variance(const Process& process, Time from, Time to) const {
    require<OptionError>(options.eta >= 0 && options.eta <= 1, "ddim: eta = ", options.eta, " is not in [0, 1]");
    if (options.eta == 0 || from == to) return 0;
    const double ratio = process.sigma(to) / process.sigma(from);
    return options.eta * options.eta * ratio * ratio * process.renoise_variance(to, from);
  }

  template <DiffusionProcess Process>
  [[nodiscard]] StepCoefficients step(const Process& process, StepTimes t) const {
    const double v = variance(process, t.from, t.to);
    if (v == 0) return step_of(process.jump(t.from, t.to));
    // Rounding may leave sigma_p^2 - v a hair below 0 at eta = 1.
    const Level to = process.level(t.to);
    const Level kept{to.alpha, std::sqrt(std::max(0.0, to.sigma * to.sigma - v))};
    const Form f = jump_form(process.prediction(), process.level(t.from), kept);
    return {f.x, f.prediction, std::sqrt(v)};
  }
};
static_assert(Solver<Ddim>);

}  // namespace hypersd::diffusion
