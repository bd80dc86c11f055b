// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/noise_table.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>

namespace hypersd::diffusion {

/// `Base` with r_t = sqrt(alphas_cumprod) shifted and stretched so that the last level is pure noise and the first
/// stays (Lin et al., "Common diffusion noise schedules and sample steps are flawed", Algorithm 1). A noise prediction
/// says nothing about the data at that level: compose with `Velocity` or `X0`.
template <TableSchedule Base = ScaledLinear>
struct ZeroTerminalSnr {
  using Options = typename Base::Options;
  static constexpr const char* name = "zero_terminal_snr";
  static constexpr bool zero_terminal_snr = true;
  Options options{};

  [[nodiscard]] std::vector<double> alphas_cumprod() const {
    std::vector<double> a = Base{options}.alphas_cumprod();
    require<OptionError>(a.size() >= 2, "zero terminal SNR needs at least two time steps");
    const double first = std::sqrt(a.front()), last = std::sqrt(a.back());
    for (double& v : a) {
      const double r = (std::sqrt(v) - last) * (first / (first - last));
      v = r * r;
    }
    a.back() = 0;
    return a;
  }
};
static_assert(TableSchedule<ZeroTerminalSnr<>>);

}  // namespace hypersd::diffusion
