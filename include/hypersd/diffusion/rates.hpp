// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/diffusion/process.hpp>

/// \file
/// Derivatives by time of a continuous process's coefficients, which the objectives of continuous time need.

namespace hypersd::diffusion {

namespace detail {

/// f'(t) by the formula of five points within [low, high], in double: exact for polynomials of degree 4.
template <class F>
double rate(F&& f, Time t, Time low, Time high) {
  const double h = 1e-3 * std::max(t, 1e-3);
  if (t - 2 * h >= low && t + 2 * h <= high)
    return (f(t - 2 * h) - f(t + 2 * h) + 8 * (f(t + h) - f(t - h))) / (12 * h);
  const double d = t - 2 * h < low ? h : -h;
  return (48 * f(t + d) - 25 * f(t) - 36 * f(t + 2 * d) + 16 * f(t + 3 * d) - 3 * f(t + 4 * d)) / (12 * d);
}

/// Refuses processes without a derivative by time.
template <class Process>
constexpr void require_continuous() {
  static_assert(!Process::discrete,
                "an objective of continuous time needs a process with derivatives by time: a table of noise levels has "
                "none; use ContinuousTable, a rectified flow, TrigFlow or a variance-exploding process");
}

}  // namespace detail

/// The derivatives by t of everything that depends on time where a network is asked at t.
template <DiffusionProcess Process>
class Rates {
 public:
  /// Refers to `process`.
  explicit Rates(const Process& process) : process_(&process) { detail::require_continuous<Process>(); }

  /// d/dt of the coefficients of `process.jump(t, end)`; `end` stays.
  [[nodiscard]] Form jump(Time t, Time end) const {
    return {rate([&](Time u) { return process_->jump(u, end).x; }, t),
            rate([&](Time u) { return process_->jump(u, end).prediction; }, t)};
  }
  /// d/d end of the same; t stays.
  [[nodiscard]] Form jump_end(Time t, Time end) const {
    return {rate([&](Time u) { return process_->jump(t, u).x; }, end),
            rate([&](Time u) { return process_->jump(t, u).prediction; }, end)};
  }
  /// d/dt of `process.input_scale(t)`.
  [[nodiscard]] double input_scale(Time t) const {
    if constexpr (Process::scales_input)
      return rate([&](Time u) { return process_->input_scale(u); }, t);
    else
      return 0;
  }
  /// d/dt of `process.network_time(t)`.
  [[nodiscard]] double network_time(Time t) const {
    if constexpr (Process::maps_time)
      return rate([&](Time u) { return process_->network_time(u); }, t);
    else
      return 1;
  }

 private:
  template <class F>
  [[nodiscard]] double rate(F&& f, Time t) const {
    return detail::rate(f, t, process_->first(), process_->last());
  }
  const Process* process_;
};

}  // namespace hypersd::diffusion
