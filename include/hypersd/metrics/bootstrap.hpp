// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/error.hpp>
#include <hypersd/core/philox.hpp>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace hypersd::metrics {

/// An estimate with its confidence interval [low, high].
struct Interval {
  double estimate = 0;  ///< the statistic of the sample
  double low = 0;       ///< lower end
  double high = 0;      ///< upper end
};

/// How quantiles of the resampled statistic become an interval.
enum class IntervalKind {
  percentile,  ///< the quantiles themselves
  centred,     ///< the quantiles minus the bootstrap bias (mean of the resamples minus the estimate)
};

/// Options of `bootstrap_interval`.
struct BootstrapOptions {
  std::int64_t resamples = 1000;                 ///< at least 2
  double confidence = 0.95;                      ///< in (0, 1)
  std::uint64_t seed = 0;                        ///< resample b is a function of (seed, b) alone
  IntervalKind kind = IntervalKind::percentile;  ///< how quantiles become an interval
};

/// Quantile q in [0, 1] of `sorted`, linear between order statistics (numpy's default). Throws OptionError when empty.
inline double quantile(std::span<const double> sorted, double q) {
  require<OptionError>(!sorted.empty() && q >= 0 && q <= 1, "quantile ", q, " of ", sorted.size(), " values");
  const double x = q * static_cast<double>(sorted.size() - 1);
  const auto i = std::min(static_cast<std::size_t>(x), sorted.size() - 1);
  const std::size_t j = std::min(i + 1, sorted.size() - 1);
  return sorted[i] + (x - static_cast<double>(i)) * (sorted[j] - sorted[i]);
}

/// Bootstrap interval (Efron 1979) of `statistic(indices)`, a function of a list of `n` sample numbers; the estimate
/// is its value on 0, 1, ..., n - 1. Deterministic. Throws OptionError for no samples or options out of range.
template <class Statistic>
Interval bootstrap_interval(std::int64_t n, Statistic&& statistic, const BootstrapOptions& options = {}) {
  require<OptionError>(n >= 1, "bootstrap over ", n, " samples");
  require<OptionError>(options.resamples >= 2, "bootstrap: resamples = ", options.resamples, ", at least 2 needed");
  require<OptionError>(options.confidence > 0 && options.confidence < 1, "bootstrap: confidence = ", options.confidence,
                       ", not in (0, 1)");
  std::vector<std::int64_t> indices(static_cast<std::size_t>(n));
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  const double estimate = statistic(std::span<const std::int64_t>(indices));
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(options.resamples));
  for (std::int64_t b = 0; b < options.resamples; ++b) {
    const Stream draw = stream(options.seed, "bootstrap", static_cast<std::uint64_t>(b));
    for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = integer_at(draw, i, n);
    values.push_back(statistic(std::span<const std::int64_t>(indices)));
  }
  double shift = 0;
  if (options.kind == IntervalKind::centred) {
    for (const double v : values) shift += (v - estimate) / static_cast<double>(values.size());
  }
  std::sort(values.begin(), values.end());
  const double tail = 0.5 * (1 - options.confidence);
  return {estimate, quantile(values, tail) - shift, quantile(values, 1 - tail) - shift};
}

/// Mean of `values` with its bootstrap interval.
inline Interval bootstrap_mean(std::span<const double> values, const BootstrapOptions& options = {}) {
  return bootstrap_interval(
      static_cast<std::int64_t>(values.size()),
      [&](std::span<const std::int64_t> indices) {
        double total = 0;
        for (const std::int64_t i : indices) total += values[static_cast<std::size_t>(i)];
        return total / static_cast<double>(indices.size());
      },
      options);
}

}  // namespace hypersd::metrics
