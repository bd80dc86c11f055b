// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/process.hpp>
#include <initializer_list>
#include <utility>

/// \file
/// Time grids: strictly descending lists of times at which a sampler asks for a prediction. T is a table's length, n
/// the number of steps. Divisions are exact and halves round to even, as NumPy rounds. (`trailing` is in
/// noise_table.hpp.)

namespace hypersd::diffusion {

/// Throws OptionError unless `times` is a non-empty, strictly descending list within [first, last] of the process.
template <DiffusionProcess Process>
void check_times(const Process& process, const Times& times) {
  require<OptionError>(!times.empty(), "empty list of time steps");
  for (std::size_t i = 0; i < times.size(); ++i) {
    require<OptionError>(times[i] >= process.first() && times[i] <= process.last(), "time step ", times[i],
                         " is not in [", process.first(), ", ", process.last(), "]");
    if (i > 0)
      require<OptionError>(times[i] < times[i - 1], "time steps must descend, but ", times[i], " follows ",
                           times[i - 1]);
  }
}

/// i floor(T / n) + offset, descending: the grid of many-step Stable Diffusion pipelines (offset 1). One step of it
/// starts near t = 0, which a few-step model cannot use.
inline Times leading(int train_steps, int n, int offset = 0) {
  detail::check_steps(train_steps, n);
  const int stride = train_steps / n;
  Times out;
  for (int i = n - 1; i >= 0; --i) out.push_back(i * stride + offset);
  require<OptionError>(out.front() < train_steps && out.back() >= 0, "leading grid: with an offset of ", offset,
                       " time ", out.front() < train_steps ? out.back() : out.front(), " is not in [0, ",
                       train_steps - 1, "]");
  return out;
}

/// round(i (T - 1) / (n - 1)), descending; n = 1 gives {0}.
inline Times linspace(int train_steps, int n) {
  detail::check_steps(train_steps, n);
  Times out;
  for (int i = n - 1; i >= 0; --i)
    out.push_back(n == 1 ? 0 : detail::round_half_even(std::int64_t{train_steps - 1} * i, n - 1));
  return out;
}

/// The points i T / N - 1, i = N ... 1, that a model was distilled on. Throws OptionError unless N is in [1, T].
inline Times origin_points(int train_steps, int points) {
  require<OptionError>(points >= 1 && points <= train_steps, "number of origin points ", points, " is not in [1, ",
                       train_steps, "]");
  const int stride = train_steps / points;
  Times out;
  for (int i = points; i >= 1; --i) out.push_back(i * stride - 1);
  return out;
}

/// n of the N origin points: number floor(j N / n) from the top (the grids of LCM and TCD). Throws OptionError for
/// n > N.
inline Times origin_grid(int train_steps, int n, int points = 50) {
  const Times all = origin_points(train_steps, points);
  require<OptionError>(n >= 1 && n <= points, "number of steps ", n, " is not in [1, ", points, "]");
  Times out;
  for (int j = 0; j < n; ++j) out.push_back(all[static_cast<std::size_t>(std::int64_t{j} * points / n)]);
  return out;
}

/// The later part of a grid for image-to-image: drops the first n - floor(n strength) entries. Throws
/// OptionError for a strength outside (0, 1] and where nothing would be left.
inline Times with_strength(const Times& times, double strength) {
  require<OptionError>(strength > 0 && strength <= 1, "strength ", strength, " is not in (0, 1]");
  const auto kept = static_cast<std::ptrdiff_t>(std::floor(static_cast<double>(times.size()) * strength));
  require<OptionError>(kept >= 1, "strength ", strength, " leaves none of ", times.size(), " time steps");
  return {times.end() - kept, times.end()};
}

/// The grid of Karras et al. (Eq 5) on any process: n times from `last()` down to `first()`, both included, evenly
/// spaced in (sigma / alpha)^(1 / rho). On a table they are fractional (diffusers' `use_karras_sigmas`). Throws
/// OptionError, and for zero terminal SNR NumericError.
template <DiffusionProcess Process>
Times karras_grid(const Process& process, int n, double rho = 7) {
  require<OptionError>(n >= 1 && rho > 0, "Karras grid: ", n, " steps, rho = ", rho);
  const double top = std::exp(-process.lambda(process.last()) / rho);
  const double bottom = std::exp(-process.lambda(process.first()) / rho);
  require<NumericError>(std::isfinite(top) && bottom > 0,
                        "Karras grid: sigma / alpha must be finite and positive at both ends of the process");
  Times out;
  for (int i = 0; i < n; ++i) {
    const double share = n == 1 ? 0 : static_cast<double>(i) / (n - 1);
    const bool end = i == 0 || i == n - 1;
    const double eta = std::pow(top + share * (bottom - top), rho);
    out.push_back(end ? (i == 0 ? process.last() : process.first()) : process.time_at(-std::log(eta)));
  }
  return out;
}

/// What a sampler takes as its steps: a number n, the process's grid (trailing on a table); or a list of times in
/// braces or as `Times`, such as `{800}` or `leading(1000, 25, 1)`.
class Steps {
 public:
  Steps(int n) : count_(n) {}                                      // NOLINT(google-explicit-constructor)
  Steps(Times times) : times_(std::move(times)), listed_(true) {}  // NOLINT(google-explicit-constructor)
  Steps(std::initializer_list<Time> times) : times_(times), listed_(true) {}

  /// The checked list for a process. Throws OptionError.
  template <DiffusionProcess Process>
  [[nodiscard]] Times times(const Process& process) const {
    if (!listed_) return process.grid(count_);
    check_times(process, times_);
    return times_;
  }

 private:
  Times times_;
  int count_ = 0;
  bool listed_ = false;
};

}  // namespace hypersd::diffusion
