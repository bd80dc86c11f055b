// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/noise_table.hpp>

namespace hypersd::diffusion {

/// beta_t = min(1 - f((t+1)/T) / f(t/T), max_beta) with f(u) = cos^2((u + s)/(1 + s) pi/2) (Nichol and Dhariwal,
/// "Improved denoising diffusion probabilistic models", Eq 17). The cap keeps the last level off zero.
struct Cosine {
  struct Options {
    int train_steps = 1000;
    double offset = 0.008, max_beta = 0.999;
  };
  static constexpr const char* name = "cosine";
  static constexpr bool zero_terminal_snr = false;
  Options options{};

  /// Throws OptionError for a cap outside (0, 1) or fewer than one step.
  [[nodiscard]] std::vector<double> alphas_cumprod() const {
    const int n = options.train_steps;
    auto f = [&](double u) {
      const double c = std::cos((u + options.offset) / (1 + options.offset) * 1.57079632679489661923);
      return c * c;
    };
    return detail::cumulative_alphas("cosine", n, [&](int t) {
      return std::min(1 - f((t + 1.0) / n) / f(static_cast<double>(t) / n), options.max_beta);
    });
  }
};
static_assert(TableSchedule<Cosine>);

}  // namespace hypersd::diffusion
