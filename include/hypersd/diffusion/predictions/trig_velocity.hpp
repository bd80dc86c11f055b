// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::diffusion {

/// The network of TrigFlow (Lu and Song, "Simplifying, stabilizing and scaling continuous-time consistency models"):
/// with s = sigma_data, x_t = cos t x0 + sin t s eps and x0 = cos t x - sin t s F(x / s, t). s F is the flow's
/// velocity.
struct TrigVelocity {
  static constexpr const char* name = "trig_velocity";
  static constexpr bool needs_signal = false, needs_unit_variance = false;
  double sigma_data = 0.5;  ///< the data's standard deviation, above 0; that of the schedule

  /// sigma = s sin t, so s F sin t = sigma F.
  [[nodiscard]] Form x0(const Level& l) const { return {l.alpha, -l.sigma}; }
  /// (x - cos t x0) / (s sin t) = (sin t x + cos t s F) / s.
  [[nodiscard]] Form eps(const Level& l) const { return {l.sigma / (sigma_data * sigma_data), l.alpha}; }
  [[nodiscard]] Target target(const Level& l) const { return {-l.sigma / (sigma_data * sigma_data), l.alpha}; }
  [[nodiscard]] double input_scale(const Level&) const { return 1 / sigma_data; }
  friend bool operator==(const TrigVelocity&, const TrigVelocity&) = default;
};
static_assert(Prediction<TrigVelocity>);

}  // namespace hypersd::diffusion
