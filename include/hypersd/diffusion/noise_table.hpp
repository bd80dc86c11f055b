// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/schedule.hpp>
#include <memory>
#include <utility>
#include <vector>

/// \file
/// The discrete variance-preserving schedule of DDPM: alphas_cumprod[t] at the training times t = 0 ... T-1. Time 0 is
/// the first noise level, not clean data; clean data is the time -1.

namespace hypersd::diffusion {

namespace detail {

/// numerator / denominator to the nearest integer, halves to the even one; numerator >= 0.
constexpr int round_half_even(std::int64_t numerator, std::int64_t denominator) {
  const std::int64_t q = numerator / denominator, twice = 2 * (numerator % denominator);
  const bool up = twice > denominator || (twice == denominator && q % 2 != 0);
  return static_cast<int>(up ? q + 1 : q);
}

inline void check_steps(int train_steps, int n) {
  require<OptionError>(n >= 1 && n <= train_steps, "number of steps ", n, " is not in [1, ", train_steps, "]");
}

}  // namespace detail

/// round(T - i T / n) - 1, i = 0 ... n-1: the trailing grid of a table of T entries, the one for few-step models.
/// Throws OptionError unless n is in [1, T].
inline Times trailing(int train_steps, int n) {
  detail::check_steps(train_steps, n);
  Times out;
  for (int i = 0; i < n; ++i) out.push_back(detail::round_half_even(std::int64_t{train_steps} * (n - i), n) - 1);
  return out;
}

/// Levels as a table in double, with alpha^2 + sigma^2 = 1. Integer times are exact. Between them ln(alpha / sigma) is
/// linear, as diffusers interpolates sigmas; next to clean data and to zero terminal SNR, where it is infinite, the
/// angle atan(sigma / alpha) is linear instead. A copy is a handle: the table itself is shared and constant.
class NoiseTable {
 public:
  static constexpr const char* name = "table";
  static constexpr bool discrete = true, straight = false, variance_preserving = true;

  /// `alphas_cumprod[t]` = alpha_t^2, strictly falling within (0, 1); only the last may be 0 (zero terminal SNR).
  /// Throws OptionError.
  explicit NoiseTable(std::vector<double> alphas_cumprod) {
    require<OptionError>(!alphas_cumprod.empty(), "noise schedule: no time steps");
    auto table = std::make_shared<Table>();
    double before = 1;
    for (std::size_t t = 0; t < alphas_cumprod.size(); ++t) {
      const double a = alphas_cumprod[t];
      const bool last = t + 1 == alphas_cumprod.size();
      require<OptionError>(a < before && (a > 0 || (last && a == 0)), "noise schedule: alphas_cumprod[", t, "] = ", a,
                           " after ", before, "; strictly falling values in (0, 1) are needed");
      before = a;
      table->levels.push_back({std::sqrt(a), std::sqrt(1 - a)});
      table->logs.push_back(std::log(a));
    }
    table->alphas_cumprod = std::move(alphas_cumprod);
    table_ = std::move(table);
  }

  /// T, the number of training times.
  [[nodiscard]] int size() const { return static_cast<int>(table_->levels.size()); }
  [[nodiscard]] Time clean() const { return -1; }
  [[nodiscard]] Time first() const { return 0; }
  [[nodiscard]] Time last() const { return size() - 1; }

  [[nodiscard]] double alphas_cumprod(int t) const { return t == -1 ? 1.0 : table_->alphas_cumprod[index(t)]; }
  /// ln alphas_cumprod of an integer time.
  [[nodiscard]] double log_alphas_cumprod(int t) const { return t == -1 ? 0.0 : table_->logs[index(t)]; }
  /// alpha^2 / sigma^2 of an integer time; +infinity for clean data.
  [[nodiscard]] double snr(int t) const { return alphas_cumprod(t) / (1 - alphas_cumprod(t)); }
  /// Whether the last time holds no signal at all.
  [[nodiscard]] bool zero_terminal_snr() const { return table_->alphas_cumprod.back() == 0; }

  /// alpha and sigma at a real time; at integer times those of the table. The derivatives are those with respect to the
  /// angle, alpha' = -sigma and sigma' = alpha: a table's index has no derivative of its own, and with the angle as
  /// time the flow's velocity is the v-prediction.
  [[nodiscard]] Level level(Time t) const {
    Level l = interpolated(t);
    l.alpha_rate = -l.sigma;
    l.sigma_rate = l.alpha;
    return l;
  }
  [[nodiscard]] double alpha(Time t) const { return level(t).alpha; }
  [[nodiscard]] double sigma(Time t) const { return level(t).sigma; }
  /// ln(alpha / sigma).
  [[nodiscard]] double lambda(Time t) const { return log_snr(level(t)); }

  /// The time with ln(alpha / sigma) = lambda: the inverse of `level`. Throws OptionError below the last time's.
  [[nodiscard]] Time time_at(double lambda) const {
    const auto& levels = table_->levels;
    require<OptionError>(lambda >= log_snr(levels.back()) - 1e-9, "noise schedule: no time has a log-SNR of ", lambda,
                         "; the last time's is ", log_snr(levels.back()));
    lambda = std::max(lambda, log_snr(levels.back()));
    // The first entry whose log-SNR is at most lambda.
    const auto at =
        std::partition_point(levels.begin(), levels.end() - 1, [&](const Level& l) { return log_snr(l) > lambda; });
    const auto upper = static_cast<double>(at - levels.begin());
    const double above = log_snr(*at), below = at == levels.begin() ? HUGE_VAL : log_snr(*(at - 1));
    if (std::isfinite(above) && std::isfinite(below)) return upper - (lambda - above) / (below - above);
    const double low = at == levels.begin() ? 0 : angle(*(at - 1)), high = angle(*at);
    return upper - (high - std::atan(std::exp(-lambda))) / (high - low);
  }
  /// 1 - alpha_t^2 / alpha_s^2. expm1 of the log ratio keeps it exact where s and t are neighbours.
  [[nodiscard]] double renoise_variance(Time s, Time t) const { return -std::expm1(log_ratio(s, t)); }
  /// ln(alpha_t^2 / alpha_s^2).
  [[nodiscard]] double log_ratio(Time s, Time t) const { return log_alphas(t) - log_alphas(s); }

  /// floor(share t) in the float32 arithmetic of the published TCD scheduler (float64 lands elsewhere for some pairs).
  [[nodiscard]] Time earlier(Time t, double share) const {
    return t < 0 || share >= 1 ? t : std::floor(static_cast<float>(share) * static_cast<float>(t));
  }
  /// `trailing`.
  [[nodiscard]] Times grid(int n) const { return trailing(size(), n); }
  [[nodiscard]] double starting_scale(Time) const { return 1; }

  /// Throws OptionError unless t is in [0, T-1], or in [-1, T-1] if `clean`.
  void check(Time t, bool clean = true) const {
    require<OptionError>(t <= last() && t >= (clean ? -1 : 0), "time ", t, " is not in [0, ", size() - 1, "]",
                         clean ? " and not -1, clean data" : "");
  }

  /// The same levels.
  friend bool operator==(const NoiseTable& a, const NoiseTable& b) {
    return a.table_ == b.table_ || a.table_->alphas_cumprod == b.table_->alphas_cumprod;
  }

 private:
  struct Table {
    std::vector<double> alphas_cumprod, logs;
    std::vector<Level> levels;
  };

  static double angle(const Level& l) { return std::atan2(l.sigma, l.alpha); }
  [[nodiscard]] std::size_t index(int t) const {
    check(t, false);
    return static_cast<std::size_t>(t);
  }
  [[nodiscard]] Level entry(double t) const { return t < 0 ? Level{} : table_->levels[static_cast<std::size_t>(t)]; }
  [[nodiscard]] Level interpolated(Time t) const {
    check(t);
    const double below = std::floor(t), share = t - below;
    if (share == 0) return entry(t);
    const Level a = entry(below), b = entry(below + 1);
    if (a.sigma == 0 || b.alpha == 0) {
      const double theta = angle(a) + share * (angle(b) - angle(a));
      return {std::cos(theta), std::sin(theta)};
    }
    const double lambda = log_snr(a) + share * (log_snr(b) - log_snr(a));
    return {1 / std::sqrt(1 + std::exp(-2 * lambda)), 1 / std::sqrt(1 + std::exp(2 * lambda))};
  }
  /// ln alpha^2 at a real time.
  [[nodiscard]] double log_alphas(Time t) const {
    if (t == std::floor(t)) return log_alphas_cumprod(static_cast<int>(t));
    return 2 * std::log(level(t).alpha);
  }

  std::shared_ptr<const Table> table_;
};
static_assert(Schedule<NoiseTable>);

/// A policy that lays out a table's noise levels: a small value whose nested `Options` hold its parameters.
/// `zero_terminal_snr` says at compile time whether the last level is pure noise.
template <class S>
concept TableSchedule = std::default_initializable<S> && requires(const S& s) {
  typename S::Options;
  {S{typename S::Options{}}};
  { S::zero_terminal_snr } -> std::convertible_to<bool>;
  { s.alphas_cumprod() } -> std::same_as<std::vector<double>>;
};

/// The table of a schedule policy.
template <TableSchedule S>
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
