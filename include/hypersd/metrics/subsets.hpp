// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/philox.hpp>
#include <hypersd/metrics/moments.hpp>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

/// \file
/// Random subsets of samples, and estimates that come from several of them.

namespace hypersd::metrics {

/// An estimate with its standard error.
struct Estimate {
  double value = 0;           ///< the estimate
  double standard_error = 0;  ///< its standard deviation
};

/// The numbers 0 .. n - 1 in random order (Fisher and Yates), a function of `draws` alone.
inline std::vector<std::int64_t> shuffled(std::int64_t n, const Stream& draws) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<std::size_t>(integer_at(draws, i, static_cast<std::int64_t>(i)))]);
  return order;
}

/// Rows order[begin .. begin + count) of `features`.
inline FeatureMatrix rows_of(const FeatureMatrix& features, std::span<const std::int64_t> order, std::int64_t begin,
                             std::int64_t count) {
  FeatureMatrix out(count, features.cols());
  for (std::int64_t i = 0; i < count; ++i) out.row(i) = features.row(order[static_cast<std::size_t>(begin + i)]);
  return out;
}

/// Mean of independent values, at least 2, and its standard error.
inline Estimate mean_and_error(std::span<const double> values) {
  require<NumericError>(values.size() >= 2, "standard error of ", values.size(), " values: at least 2 needed");
  const auto n = static_cast<double>(values.size());
  double mean = 0, scatter = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) scatter += (v - mean) * (v - mean);
  return {mean, std::sqrt(scatter / (n * (n - 1)))};
}

}  // namespace hypersd::metrics
