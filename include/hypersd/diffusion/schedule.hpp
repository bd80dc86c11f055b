// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <concepts>
#include <hypersd/core/error.hpp>
#include <utility>
#include <vector>

/// \file
/// Variance-preserving noise levels: x_t = alpha_t x_0 + sigma_t eps with alpha_t^2 + sigma_t^2 = 1 at the integer
/// training times t = 0 ... T-1. Time 0 is the first noise level, not clean data; clean data is `kOrigin`.

namespace hypersd::diffusion {

/// The end of a trajectory on clean data (alpha = 1, sigma = 0), one step below the table's first entry.
inline constexpr int kOrigin = -1;

/// Integer training times, one for each sample of a batch or one for each step of a sampler.
using Times = std::vector<int>;

/// Where a trajectory ends: `first_entry` is time 0, where sigma is small but not 0 (Stable Diffusion's convention);
/// `clean` is `kOrigin`. A model is distilled and sampled with the same choice.
enum class EndPoint { first_entry, clean };

/// Time of an end point.
constexpr int time_of(EndPoint end) { return end == EndPoint::clean ? kOrigin : 0; }

/// Signal and noise shares of one time.
struct Level {
  double alpha = 1, sigma = 0;
};

/// A schedule's levels as a table in double. Times are 0 ... size()-1 and `kOrigin`; others throw OptionError.
class NoiseTable {
 public:
  /// `alphas_cumprod[t]` = alpha_t^2, strictly falling within (0, 1); only the last may be 0 (zero terminal SNR).
  explicit NoiseTable(std::vector<double> alphas_cumprod) : alphas_cumprod_(std::move(alphas_cumprod)) {
    require<OptionError>(!alphas_cumprod_.empty(), "noise schedule: no time steps");
    double before = 1;
    for (std::size_t t = 0; t < alphas_cumprod_.size(); ++t) {
      const double a = alphas_cumprod_[t];
      const bool last = t + 1 == alphas_cumprod_.size();
      require<OptionError>(a < before && (a > 0 || (last && a == 0)), "noise schedule: alphas_cumprod[", t, "] = ", a,
                           " after ", before, "; strictly falling values in (0, 1) are needed");
      before = a;
      levels_.push_back({std::sqrt(a), std::sqrt(1 - a)});
      logs_.push_back(std::log(a));
    }
  }

  /// T, the number of training times.
  [[nodiscard]] int size() const { return static_cast<int>(alphas_cumprod_.size()); }
  [[nodiscard]] double alphas_cumprod(int t) const { return t == kOrigin ? 1.0 : alphas_cumprod_[index(t)]; }
  [[nodiscard]] double alpha(int t) const { return level(t).alpha; }
  [[nodiscard]] double sigma(int t) const { return level(t).sigma; }
  [[nodiscard]] Level level(int t) const { return t == kOrigin ? Level{} : levels_[index(t)]; }
  /// ln alphas_cumprod.
  [[nodiscard]] double log_alphas_cumprod(int t) const { return t == kOrigin ? 0.0 : logs_[index(t)]; }
  /// Half the log signal-to-noise ratio, ln(alpha / sigma); +infinity at the origin.
  [[nodiscard]] double lambda(int t) const { return std::log(alpha(t) / sigma(t)); }
  /// alpha^2 / sigma^2; +infinity at the origin.
  [[nodiscard]] double snr(int t) const { return alphas_cumprod(t) / (1 - alphas_cumprod(t)); }
  /// Whether the last time holds no signal at all.
  [[nodiscard]] bool zero_terminal_snr() const { return alphas_cumprod_.back() == 0; }

  /// Throws OptionError unless t is a time of the table; `kOrigin` passes only if `origin`.
  void check(int t, bool origin = true) const {
    require<OptionError>((t >= 0 && t < size()) || (origin && t == kOrigin), "time ", t, " is not in [0, ", size() - 1,
                         "]", origin ? " and not the origin" : "");
  }

 private:
  [[nodiscard]] std::size_t index(int t) const {
    check(t);
    return static_cast<std::size_t>(t);
  }

  std::vector<double> alphas_cumprod_, logs_;
  std::vector<Level> levels_;
};

/// A policy that lays out the noise levels of training: a small value whose nested `Options` hold its parameters.
/// `zero_terminal_snr` says at compile time whether the last level is pure noise.
template <class S>
concept NoiseSchedule = std::default_initializable<S> && requires(const S& s) {
  typename S::Options;
  {S{typename S::Options{}}};
  { S::zero_terminal_snr } -> std::convertible_to<bool>;
  { s.alphas_cumprod() } -> std::same_as<std::vector<double>>;
};

/// The table of a schedule.
template <NoiseSchedule S>
NoiseTable noise_table(const S& schedule = {}) {
  return NoiseTable(schedule.alphas_cumprod());
}

namespace detail {

/// alphas_cumprod of beta(0) ... beta(n - 1): running products of 1 - beta.
template <class Beta>
std::vector<double> cumulative_alphas(const char* name, int n, Beta&& beta) {
  require<OptionError>(n >= 1, name, " schedule: ", n, " training steps");
  std::vector<double> out;
  double product = 1;
  for (int t = 0; t < n; ++t) {
    const double b = beta(t);
    require<OptionError>(b > 0 && b < 1, name, " schedule: beta[", t, "] = ", b, " is not within (0, 1)");
    out.push_back(product *= 1 - b);
  }
  return out;
}

/// Value i of n evenly spaced ones from a to b, both included.
inline double linspace_at(double a, double b, int i, int n) { return n == 1 ? a : a + (b - a) * i / (n - 1); }

}  // namespace detail

}  // namespace hypersd::diffusion
