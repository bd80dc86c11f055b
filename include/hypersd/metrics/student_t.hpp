// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/metrics/bootstrap.hpp>

namespace hypersd::metrics {

namespace detail {

/// Regularised incomplete beta function I_x(a, b), a and b above 0, x in [0, 1], by Lentz's continued fraction.
inline double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);  // where the fraction converges fast
  const double front =
      std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x)) / a;
  constexpr double tiny = 1e-300;
  auto away_from_zero = [](double v) { return std::abs(v) < tiny ? tiny : v; };
  double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = d;
  for (int m = 1; m <= 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    value *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return front * value;
}

}  // namespace detail

/// Probability that |t| of Student's distribution with `df` > 0 degrees of freedom is at most `t` >= 0.
inline double student_t_within(double t, double df) {
  return 1 - detail::incomplete_beta(df / 2, 0.5, df / (df + t * t));
}

/// The t that |t| exceeds with probability 1 - `confidence`; e.g. 4.3027 for 0.95 and 2 degrees of freedom.
inline double student_t_quantile(double confidence, double df) {
  require<OptionError>(confidence > 0 && confidence < 1 && df > 0, "Student's t: confidence ", confidence, ", ", df,
                       " degrees of freedom");
  double low = 0, high = 1;
  while (student_t_within(high, df) < confidence && high < 1e12) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (student_t_within(middle, df) < confidence ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

/// Mean of a few independent repetitions (seeds) with its t-interval: mean +- t s / sqrt(n). Needs two values or more.
inline Interval t_interval(std::span<const double> values, double confidence = 0.95) {
  require<OptionError>(values.size() >= 2, "t-interval of ", values.size(), " values: at least 2 needed");
  const auto n = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  const double half = student_t_quantile(confidence, n - 1) * std::sqrt(squares / (n - 1) / n);
  return {mean, mean - half, mean + half};
}

}  // namespace hypersd::metrics
