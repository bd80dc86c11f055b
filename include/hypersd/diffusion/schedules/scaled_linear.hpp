// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/noise_table.hpp>

namespace hypersd::diffusion {

/// sqrt(beta) rises linearly with t, ends included; the defaults are those of Stable Diffusion 1.5 and SDXL.
struct ScaledLinear {
  struct Options {
    int train_steps = 1000;
    double beta_start = 0.00085, beta_end = 0.012;
  };
  static constexpr const char* name = "scaled_linear";
  static constexpr bool zero_terminal_snr = false;
  Options options{};

  /// Throws OptionError for betas outside (0, 1) or fewer than one step.
  [[nodiscard]] std::vector<double> alphas_cumprod() const {
    require<OptionError>(options.beta_start > 0 && options.beta_end > 0, "scaled linear schedule: betas from ",
                         options.beta_start, " to ", options.beta_end, " are not within (0, 1)");
    const double a = std::sqrt(options.beta_start), b = std::sqrt(options.beta_end);
    return detail::cumulative_alphas("scaled linear", options.train_steps, [&](int t) {
      const double root = detail::linspace_at(a, b, t, options.train_steps);
      return root * root;
    });
  }
};
static_assert(TableSchedule<ScaledLinear>);

}  // namespace hypersd::diffusion
