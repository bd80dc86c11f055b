// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/metrics/frechet.hpp>
#include <hypersd/metrics/subsets.hpp>

namespace hypersd::metrics {

/// Options of `frechet_infinity`.
struct FrechetInfinityOptions {
  int sizes = 15;               ///< numbers of samples that the fit sees, at least 3
  double smallest_share = 0.1;  ///< of the samples, in (0, 1): the smallest of these numbers
  std::uint64_t seed = 0;       ///< of the subsets
};

/// Least squares y = intercept + slope x, with the standard error of the intercept from the residuals. At least three
/// points with two different x, else NumericError.
inline Estimate fitted_intercept(std::span<const double> x, std::span<const double> y) {
  require<ShapeError>(x.size() == y.size(), "line through ", x.size(), " x and ", y.size(), " y");
  const auto n = static_cast<double>(x.size());
  double mx = 0, my = 0, sxx = 0, sxy = 0, residual = 0;
  for (std::size_t i = 0; i < x.size(); ++i) mx += x[i] / n, my += y[i] / n;
  for (std::size_t i = 0; i < x.size(); ++i) sxx += (x[i] - mx) * (x[i] - mx), sxy += (x[i] - mx) * (y[i] - my);
  require<NumericError>(x.size() >= 3 && sxx > 0, "line through ", x.size(), " points: at least 3 needed, two x apart");
  const double slope = sxy / sxx, intercept = my - slope * mx;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double e = y[i] - intercept - slope * x[i];
    residual += e * e;
  }
  return {intercept, std::sqrt(residual / (n - 2) * (1 / n + mx * mx / sxx))};
}

/// Frechet distance of `features` [N, F] to reference moments for N to infinity (Chong and Forsyth 2020): the distance
/// of N samples is biased upwards by about b / N, so it is measured on random subsets of several sizes and extrapolated
/// to 1 / N = 0. Sizes are equally spaced in N. The standard error is the fit's; subsets share samples, which it does
/// not see. Throws ShapeError, OptionError, and NumericError for fewer than 20 samples.
template <class T>
Estimate frechet_infinity(const Tensor<T>& features, const Moments& reference,
                          const FrechetInfinityOptions& options = {}) {
  require<OptionError>(options.sizes >= 3, "Frechet distance: sizes = ", options.sizes, ", at least 3 needed");
  require<OptionError>(options.smallest_share > 0 && options.smallest_share < 1,
                       "Frechet distance: smallest_share = ", options.smallest_share, ", not in (0, 1)");
  const FeatureMatrix all = feature_matrix(features);
  const std::int64_t samples = all.rows();
  require<NumericError>(samples >= 20, "Frechet distance of infinitely many samples from ", samples,
                        ": at least 20 needed");
  const Eigen::MatrixXd covariance = reference.covariance();
  std::vector<double> x, y;
  for (int i = 0; i < options.sizes; ++i) {
    const double share = options.smallest_share + (1 - options.smallest_share) * i / (options.sizes - 1);
    const auto n = std::max<std::int64_t>(2, std::llround(share * static_cast<double>(samples)));
    const auto order = shuffled(samples, stream(options.seed, "frechet", static_cast<std::uint64_t>(i)));
    Moments moments(all.cols());
    moments.add(rows_of(all, order, 0, n));
    x.push_back(1 / static_cast<double>(n));
    y.push_back(frechet_distance(moments.mean(), moments.covariance(), reference.mean(), covariance));
  }
  return fitted_intercept(x, y);
}

}  // namespace hypersd::metrics
