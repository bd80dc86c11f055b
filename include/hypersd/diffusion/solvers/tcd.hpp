// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// Strategic stochastic sampling of trajectory consistency models (Zheng et al., "Trajectory consistency distillation",
/// Algorithm 4): jump from t beyond the next time p to s = floor((1 - eta) p), then re-noise from s up to p. The last
/// step jumps straight to the end point. eta = 0 is DDIM; eta = 1 lands on time 0 and re-noises everything.
struct Tcd {
  struct Options {
    double eta = 0.3;  ///< the paper's gamma, in [0, 1]
  };
  static constexpr const char* name = "tcd";
  static constexpr bool stochastic = true;
  Options options{};

  /// s for the next time p, in the float32 arithmetic of the published scheduler (float64 lands elsewhere for some
  /// pairs). Throws OptionError for eta outside [0, 1].
  [[nodiscard]] int landing(int p) const {
    require<OptionError>(options.eta >= 0 && options.eta <= 1, "tcd: eta = ", options.eta, " is not in [0, 1]");
    return static_cast<int>(std::floor(static_cast<float>(1 - options.eta) * static_cast<float>(p)));
  }

  template <Prediction P>
  [[nodiscard]] StepCoefficients step(const NoiseTable& table, StepTimes t) const {
    const int below = landing(t.to);  // also where it is not used: eta is checked in every step
    const int s = t.last || t.to == kOrigin ? t.to : below;
    const Form f = jump_form<P>(table, t.from, s);
    const StepCoefficients up = renoise(table, s, t.to);
    return {up.x * f.x, up.x * f.prediction, up.noise};
  }
};
static_assert(Solver<Tcd>);

}  // namespace hypersd::diffusion
