// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/noise_table.hpp>

namespace hypersd::diffusion {

/// beta rises linearly with t, ends included (Ho et al., "Denoising diffusion probabilistic models", section 4).
struct Linear {
  struct Options {
    int train_steps = 1000;
    double beta_start = 1e-4, beta_end = 2e-2;
  };
  static constexpr const char* name = "linear";
  static constexpr bool zero_terminal_snr = false;
  Options options{};

  /// Throws OptionError for betas outside (0, 1) or fewer than one step.
  [[nodiscard]] std::vector<double> alphas_cumprod() const {
    return detail::cumulative_alphas("linear", options.train_steps, [&](int t) {
      return detail::linspace_at(options.beta_start, options.beta_end, t, options.train_steps);
    });
  }
};
static_assert(TableSchedule<Linear>);

}  // namespace hypersd::diffusion
