// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/schedule.hpp>
#include <numbers>

namespace hypersd::diffusion {

/// x_t = cos t x0 + sin t s eps with s = sigma_data, for t from 0 to atan(sigma_max / s) (Lu and Song, "Simplifying,
/// stabilizing and scaling continuous-time consistency models", section 4). The jump Psi is a rotation.
struct TrigFlow {
  struct Options {
    double sigma_data = 0.5, sigma_max = 80;  ///< above 0; sigma_max may be infinity: t up to pi / 2
    friend bool operator==(const Options&, const Options&) = default;
  };
  static constexpr const char* name = "trig_flow";
  static constexpr bool discrete = false, straight = false, variance_preserving = false;
  Options options{};

  [[nodiscard]] Time clean() const { return 0; }
  [[nodiscard]] Time first() const { return 0; }
  [[nodiscard]] Time last() const { return std::atan(options.sigma_max / options.sigma_data); }
  [[nodiscard]] Level level(Time t) const {
    check_time("TrigFlow", t, 0, last());
    const double s = options.sigma_data, c = t >= std::numbers::pi / 2 ? 0 : std::cos(t);
    return {c, s * std::sin(t), -std::sin(t), s * c};
  }
  /// atan(e^-lambda / s).
  [[nodiscard]] Time time_at(double lambda) const {
    return not_past(std::atan(std::exp(-lambda) / options.sigma_data), last());
  }
  /// s^2 sin(t - r) sin(t + r) / cos^2 r, from r up to t.
  [[nodiscard]] double renoise_variance(Time r, Time t) const {
    const double c = std::cos(r), s = options.sigma_data;
    return s * s * std::sin(t - r) * std::sin(t + r) / (c * c);
  }
  /// The angle is the time.
  [[nodiscard]] Time earlier(Time t, double share) const { return share * t; }
  /// Time at the share u in [0, 1] of the way from clean data to noise.
  [[nodiscard]] Time at(double u) const { return u * last(); }
  [[nodiscard]] Times grid(int n) const { return grid_of(*this, n); }
  [[nodiscard]] double starting_scale(Time t) const { return options.sigma_data * std::sin(t); }
  friend bool operator==(const TrigFlow&, const TrigFlow&) = default;
};
static_assert(Schedule<TrigFlow>);

}  // namespace hypersd::diffusion
