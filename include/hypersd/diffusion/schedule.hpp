// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/core/error.hpp>
#include <hypersd/diffusion/level.hpp>

/// \file
/// How data become noise: alpha and sigma as functions of time.

namespace hypersd::diffusion {

/// Noise levels at real times from `clean()` to `last()`; `first()` is the lowest that networks are trained at.
///
/// - `level(t)`: alpha, sigma and their derivatives. Throws OptionError for other times.
/// - `time_at(lambda)`: the inverse of ln(alpha / sigma).
/// - `renoise_variance(s, t)`: sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2 for s <= t, without cancellation.
/// - `earlier(t, share)`: the time that keeps `share` of the noise of t, as TCD's gamma counts it.
/// - `grid(n)`: the n times at which an n-step sampler evaluates, descending from `last()`.
/// - `starting_scale(t)`: standard deviation of what sampling starts from at time t, for unit noise.
/// - `discrete`: whether networks know integer times alone. `straight`: whether alpha and sigma are affine in time.
///   `variance_preserving`: whether alpha^2 + sigma^2 = 1.
/// - `at(u)`, of continuous schedules: the time at the share u in [0, 1] of the way from `first()` to `last()`.
/// - `network_time(t)` and its inverse `process_time(n)`, optional: the network is given network_time(t).
template <class S>
concept Schedule = std::copyable<S> && std::equality_comparable<S> && requires(const S& s, Time t, int n) {
  { S::discrete } -> std::convertible_to<bool>;
  { S::straight } -> std::convertible_to<bool>;
  { S::variance_preserving } -> std::convertible_to<bool>;
  { s.clean() } -> std::same_as<Time>;
  { s.first() } -> std::same_as<Time>;
  { s.last() } -> std::same_as<Time>;
  { s.level(t) } -> std::same_as<Level>;
  { s.time_at(t) } -> std::same_as<Time>;
  { s.renoise_variance(t, t) } -> std::same_as<double>;
  { s.earlier(t, t) } -> std::same_as<Time>;
  { s.grid(n) } -> std::same_as<Times>;
  { s.starting_scale(t) } -> std::same_as<double>;
};

/// @name For schedules of continuous time
/// @{

/// Throws OptionError unless t lies in [low, high].
inline void check_time(const char* what, Time t, Time low, Time high) {
  require<OptionError>(t >= low && t <= high, what, ": time ", t, " is not in [", low, ", ", high, "]");
}

/// t, or `last` where rounding alone has carried t past it.
inline Time not_past(Time t, Time last, double tolerance = 1e-12) {
  return t > last && t <= last * (1 + tolerance) ? last : t;
}

/// The time at which the angle atan(sigma / alpha) is `share` of that of t.
template <class S>
Time earlier_by_angle(const S& schedule, Time t, double share) {
  if (share >= 1) return t;
  const Level l = schedule.level(t);
  const double angle = share * std::atan2(l.sigma, l.alpha);
  return angle > 0 ? schedule.time_at(-std::log(std::tan(angle))) : schedule.clean();
}

/// `at(1 - i / n)`, i = 0 ... n-1.
template <class S>
Times grid_of(const S& schedule, int n) {
  require<OptionError>(n >= 1, "number of steps ", n, " is not at least 1");
  Times out;
  for (int i = 0; i < n; ++i) out.push_back(schedule.at(static_cast<double>(n - i) / n));
  return out;
}
/// @}

}  // namespace hypersd::diffusion
