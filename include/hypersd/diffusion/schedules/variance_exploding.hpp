// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/schedule.hpp>

namespace hypersd::diffusion {

/// x_t = x0 + sigma eps with sigma itself as the time (Karras et al., "Elucidating the design space of diffusion-based
/// generative models", Table 1, EDM). Sampler steps and training times are spaced evenly in sigma^(1/rho) (Eq 5).
struct VarianceExploding {
  struct Options {
    double sigma_min = 0.002, sigma_max = 80;  ///< 0 < sigma_min < sigma_max
    double rho = 7;                            ///< above 0
    friend bool operator==(const Options&, const Options&) = default;
  };
  static constexpr const char* name = "variance_exploding";
  static constexpr bool discrete = false, straight = true, variance_preserving = false;
  Options options{};

  [[nodiscard]] Time clean() const { return 0; }
  [[nodiscard]] Time first() const { return options.sigma_min; }
  [[nodiscard]] Time last() const { return options.sigma_max; }
  [[nodiscard]] Level level(Time t) const {
    check_time("variance exploding", t, 0, options.sigma_max);
    return {1, t, 0, 1};
  }
  /// e^-lambda.
  [[nodiscard]] Time time_at(double lambda) const { return not_past(std::exp(-lambda), last()); }
  [[nodiscard]] double renoise_variance(Time s, Time t) const { return (t - s) * (t + s); }
  [[nodiscard]] Time earlier(Time t, double share) const { return earlier_by_angle(*this, t, share); }
  /// Time at the share u in [0, 1] of the way from sigma_min to sigma_max, evenly spaced in sigma^(1/rho).
  [[nodiscard]] Time at(double u) const {
    const auto [low, high, rho] = options;
    require<OptionError>(0 < low && low < high && rho > 0, "variance exploding: sigmas from ", low, " to ", high,
                         ", rho = ", rho);
    if (u <= 0 || u >= 1) return u <= 0 ? low : high;
    return std::pow(std::pow(low, 1 / rho) + u * (std::pow(high, 1 / rho) - std::pow(low, 1 / rho)), rho);
  }
  [[nodiscard]] Times grid(int n) const { return grid_of(*this, n); }
  [[nodiscard]] double starting_scale(Time t) const { return t; }
  friend bool operator==(const VarianceExploding&, const VarianceExploding&) = default;
};
static_assert(Schedule<VarianceExploding>);

}  // namespace hypersd::diffusion
