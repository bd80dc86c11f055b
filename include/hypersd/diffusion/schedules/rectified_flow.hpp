// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/schedule.hpp>

namespace hypersd::diffusion {

/// x_t = (1 - t) x0 + t eps for t in [0, 1] (Liu et al., "Flow straight and fast"; the process of SD3 and FLUX).
/// `shift` k moves where a sampler's steps and a training's times lie towards the noise, t = k u / (1 + (k - 1) u) for
/// u uniform (Esser et al., "Scaling rectified flow transformers", Eq 23), and leaves the process itself as it is.
struct RectifiedFlow {
  struct Options {
    double shift = 1;       ///< k > 0; SD3: 3
    double time_scale = 1;  ///< the network is given time_scale * t; SD3, FLUX: 1000
    friend bool operator==(const Options&, const Options&) = default;
  };
  static constexpr const char* name = "rectified_flow";
  static constexpr bool discrete = false, straight = true, variance_preserving = false;
  Options options{};

  [[nodiscard]] Time clean() const { return 0; }
  [[nodiscard]] Time first() const { return 0; }
  [[nodiscard]] Time last() const { return 1; }
  [[nodiscard]] Level level(Time t) const {
    check_time("rectified flow", t, 0, 1);
    return {1 - t, t, -1, 1};
  }
  /// 1 / (1 + e^lambda).
  [[nodiscard]] Time time_at(double lambda) const { return 1 / (1 + std::exp(lambda)); }
  /// (t - s) (t + s - 2 t s) / (1 - s)^2.
  [[nodiscard]] double renoise_variance(Time s, Time t) const {
    return s == t ? 0 : (t - s) * (t + s - 2 * t * s) / ((1 - s) * (1 - s));
  }
  [[nodiscard]] Time earlier(Time t, double share) const { return earlier_by_angle(*this, t, share); }
  /// Time at the share u in [0, 1] of the way from clean data to noise.
  [[nodiscard]] Time at(double u) const {
    const double k = options.shift;
    require<OptionError>(k > 0, "rectified flow: shift = ", k, " is not above 0");
    return k * u / (1 + (k - 1) * u);
  }
  [[nodiscard]] Times grid(int n) const { return grid_of(*this, n); }
  [[nodiscard]] double starting_scale(Time t) const { return t; }
  [[nodiscard]] double network_time(Time t) const { return options.time_scale * t; }
  [[nodiscard]] Time process_time(double n) const { return n / options.time_scale; }
  friend bool operator==(const RectifiedFlow&, const RectifiedFlow&) = default;
};
static_assert(Schedule<RectifiedFlow>);

}  // namespace hypersd::diffusion
