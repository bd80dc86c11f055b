// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/metrics/moments.hpp>
#include <hypersd/metrics/subsets.hpp>

namespace hypersd::metrics {

/// Options of `kernel_distance`.
struct KernelDistanceOptions {
  std::int64_t block = 500;  ///< samples of each set in a block, at least 2
  std::uint64_t seed = 0;    ///< of the shuffle that fills the blocks
};

namespace detail {

/// Sum of k(x, y) = (x . y / F + 1)^3 over all pairs of rows, and the part of it on the diagonal.
template <class = void>
std::pair<double, double> cubic_kernel_sums(const FeatureMatrix& x, const FeatureMatrix& y) {
  const FeatureMatrix k = ((x * y.transpose()).array() / static_cast<double>(x.cols()) + 1).cube().matrix();
  return {k.sum(), k.diagonal().sum()};
}

}  // namespace detail

/// Unbiased squared maximum mean discrepancy of x [N, F] and y [M, F], N and M at least 2, under the cubic kernel
/// k(x, y) = (x . y / F + 1)^3 (Binkowski et al. 2018, "KID"): 0 in the mean for equal distributions, so it can be
/// negative. Throws ShapeError.
template <class = void>
double squared_mmd(const FeatureMatrix& x, const FeatureMatrix& y) {
  require<ShapeError>(x.cols() == y.cols() && x.rows() >= 2 && y.rows() >= 2, "kernel distance between [", x.rows(),
                      ", ", x.cols(), "] and [", y.rows(), ", ", y.cols(), "] features");
  const auto n = static_cast<double>(x.rows()), m = static_cast<double>(y.rows());
  const auto xx = detail::cubic_kernel_sums(x, x), yy = detail::cubic_kernel_sums(y, y);
  return (xx.first - xx.second) / (n * (n - 1)) + (yy.first - yy.second) / (m * (m - 1)) -
         2 * detail::cubic_kernel_sums(x, y).first / (n * m);
}

/// Kernel Inception distance of `x` [N, F] and `y` [M, F], with the features given: the mean of `squared_mmd` over
/// disjoint random blocks, as in Zaremba et al. (2013), and the standard error of that mean. Blocks share no sample, so
/// they are independent. A set that does not fill two blocks is split in two. Throws ShapeError, OptionError for a
/// block below 2, and NumericError for fewer than four samples or a feature that is not finite.
template <class T>
Estimate kernel_distance(const Tensor<T>& x, const Tensor<T>& y, const KernelDistanceOptions& options = {}) {
  require<OptionError>(options.block >= 2, "kernel distance: block = ", options.block, ", at least 2 needed");
  const FeatureMatrix a = feature_matrix(x), b = feature_matrix(y);
  const std::int64_t samples = std::min(a.rows(), b.rows());
  require<NumericError>(samples >= 4, "kernel distance of ", samples, " samples: at least 4 needed");
  const std::int64_t block = std::min(options.block, samples / 2), blocks = samples / block;
  const auto first = shuffled(a.rows(), stream(options.seed, "kernel distance", 0));
  const auto second = shuffled(b.rows(), stream(options.seed, "kernel distance", 1));
  std::vector<double> values;
  for (std::int64_t i = 0; i < blocks; ++i)
    values.push_back(squared_mmd(rows_of(a, first, i * block, block), rows_of(b, second, i * block, block)));
  return mean_and_error(values);
}

}  // namespace hypersd::metrics
