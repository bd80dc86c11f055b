// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::diffusion {

/// The preconditioned network of a variance-exploding process (Karras et al., "Elucidating the design space of
/// diffusion-based generative models", Table 1): with s = sigma_data,
///   x0 = c_skip x + c_out F(c_in x, ln(sigma) / 4),
///   c_skip = s^2 / (sigma^2 + s^2),  c_out = sigma s / sqrt(sigma^2 + s^2),  c_in = 1 / sqrt(sigma^2 + s^2).
/// The training target of F has unit variance for data of deviation s. Levels with alpha = 1 only.
struct Preconditioned {
  static constexpr const char* name = "preconditioned";
  static constexpr bool needs_signal = true, needs_unit_variance = false;
  double sigma_data = 0.5;  ///< the data's standard deviation, above 0

  [[nodiscard]] Form x0(const Level& l) const {
    const double length = std::hypot(l.sigma, sigma_data);
    return {sigma_data * sigma_data / (length * length), l.sigma * sigma_data / length};
  }
  /// (x - x0) / sigma, with the factor sigma taken out: finite down to sigma = 0.
  [[nodiscard]] Form eps(const Level& l) const {
    const double length = std::hypot(l.sigma, sigma_data);
    return {l.sigma / (length * length), -sigma_data / length};
  }
  /// (x0 - c_skip (x0 + sigma eps)) / c_out.
  [[nodiscard]] Target target(const Level& l) const {
    const double length = std::hypot(l.sigma, sigma_data);
    return {l.sigma / (length * sigma_data), -sigma_data / length};
  }
  [[nodiscard]] double input_scale(const Level& l) const { return 1 / std::hypot(l.sigma, sigma_data); }
  [[nodiscard]] static double network_time(Time sigma) { return std::log(sigma) / 4; }
  [[nodiscard]] static Time process_time(double c_noise) { return std::exp(4 * c_noise); }
  friend bool operator==(const Preconditioned&, const Preconditioned&) = default;
};
static_assert(Prediction<Preconditioned>);

}  // namespace hypersd::diffusion
