// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// Strategic stochastic sampling of trajectory consistency models (Zheng et al., "Trajectory consistency distillation",
/// Algorithm 4): jump from t beyond the next time p to a cleaner time s, then re-noise from s up to p. s keeps 1 - eta
/// of the noise of p: floor((1 - eta) p) on a table, that share of the angle atan(sigma / alpha) in continuous time.
/// The last step jumps straight to the end point. eta = 0 is DDIM; eta = 1 lands on time 0 and re-noises everything.
struct Tcd {
  struct Options {
    double eta = 0.3;  ///< the paper's gamma, in [0, 1]
  };
  static constexpr const char* name = "tcd";
  static constexpr bool stochastic = true;
  Options options{};

  /// s for the next time p. Throws OptionError for eta outside [0, 1].
  template <DiffusionProcess Process>
  [[nodiscard]] Time landing(const Process& process, Time p) const {
    require<OptionError>(options.eta >= 0 && options.eta <= 1, "tcd: eta = ", options.eta, " is not in [0, 1]");
    return process.earlier(p, 1 - options.eta);
  }

  template <DiffusionProcess Process>
  [[nodiscard]] StepCoefficients step(const Process& process, StepTimes t) const {
    const Time s = jump_end(process, t);
    const Form f = process.jump(t.from, s);
    const Renoise up = process.renoise(s, t.to);
    return {up.x * f.x, up.x * f.prediction, up.noise};
  }
  /// s, or the next time where no noise is added.
  template <DiffusionProcess Process>
  [[nodiscard]] Time jump_end(const Process& process, StepTimes t) const {
    const Time below = landing(process, t.to);  // also where it is not used: eta is checked in every step
    return t.last || t.to == process.clean() ? t.to : below;
  }
};
static_assert(Solver<Tcd>);

}  // namespace hypersd::diffusion
