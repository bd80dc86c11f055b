// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// Multistep sampling of latent consistency models (Luo et al., "Latent consistency models", Algorithm 3): denoise,
/// then noise the result afresh, x_p = alpha_p d + sigma_p z with d = c_skip x_t + c_out x0hat. The last step returns d
/// itself, whatever the end point. On a table, c_skip = s^2 / ((k t)^2 + s^2) and c_out = k t / sqrt((k t)^2 + s^2)
/// make d the identity at t = 0; with the default k they differ from 0 and 1 nowhere else. In continuous time, where t
/// = 0 is clean data, d is x0hat.
struct Lcm {
  struct Options {
    double timestep_scaling = 10;  ///< k, at least 0
    double sigma_data = 0.5;       ///< s, the data's standard deviation, above 0
  };
  static constexpr const char* name = "lcm";
  static constexpr bool stochastic = true;
  Options options{};

  /// d at time t. Throws OptionError for options out of range and for clean data.
  template <DiffusionProcess Process>
  [[nodiscard]] Form denoised(const Process& process, Time t) const {
    const auto [k, s] = options;
    require<OptionError>(k >= 0 && std::isfinite(k), "lcm: timestep_scaling = ", k, " is not in [0, infinity)");
    require<OptionError>(s > 0 && std::isfinite(s), "lcm: sigma_data = ", s, " is not in (0, infinity)");
    process.check(t, false);
    if constexpr (!Process::discrete) return process.x0(t);
    const double length = std::hypot(k * t, s), skip = s / length, out = k * t / length;
    if (out == 0) return {1, 0};  // x0hat may not exist there
    const Form x0 = process.x0(t);
    return {skip * skip + out * x0.x, out * x0.prediction};
  }

  template <DiffusionProcess Process>
  [[nodiscard]] StepCoefficients step(const Process& process, StepTimes t) const {
    process.check(t.to);
    const Form d = denoised(process, t.from);
    if (t.last) return step_of(d);
    const Level to = process.level(t.to);
    return {to.alpha * d.x, to.alpha * d.prediction, to.sigma};
  }
  template <DiffusionProcess Process>
  [[nodiscard]] Time jump_end(const Process& process, StepTimes) const {
    return process.clean();
  }
};
static_assert(AffineSolver<Lcm>);

}  // namespace hypersd::diffusion
