// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// Euler's method with ancestral noise (Crowson's k-diffusion, `sample_euler_ancestral`): with s = sigma / alpha, step
/// down to s_down, then add noise up to s', where s_up = eta s' sqrt(1 - (s' / s)^2) and s_down^2 = s'^2 - s_up^2. In
/// variance-preserving coordinates x' = alpha' (x0hat + s_down epshat + s_up z), which is DDIM with the same eta and at
/// eta = 1 the ancestral step of DDPM.
struct EulerAncestral {
  struct Options {
    double eta = 1;  ///< share of the ancestral noise, in [0, 1]; 0 is `Euler`
  };
  static constexpr const char* name = "euler_ancestral";
  static constexpr bool stochastic = true;
  Options options{};

  template <DiffusionProcess Process>
  [[nodiscard]] StepCoefficients step(const Process& process, StepTimes t) const {
    const double eta = options.eta;
    require<OptionError>(eta >= 0 && eta <= 1, "euler_ancestral: eta = ", eta, " is not in [0, 1]");
    const Level from = process.level(t.from), to = process.level(t.to);
    if (t.from == t.to) return {};
    // s' / s, finite also where s is not. All else is this ratio times sigma' = alpha' s'.
    const double ratio = to.sigma * from.alpha / (to.alpha * from.sigma);
    const double up = eta * std::sqrt((1 - ratio) * (1 + ratio));
    const Form f = jump_form(process.prediction(), from, {to.alpha, to.sigma * std::sqrt((1 - up) * (1 + up))});
    return {f.x, f.prediction, to.sigma * up};
  }
};
static_assert(AffineSolver<EulerAncestral>);

}  // namespace hypersd::diffusion
