// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/parallel.hpp>
#include <hypersd/metrics/bootstrap.hpp>
#include <hypersd/metrics/moments.hpp>
#include <limits>
#include <span>
#include <vector>

/// \file
/// Measures by nearest neighbors in feature space: fidelity, diversity and memorization apart, where a Frechet
/// distance is one number for all.

namespace hypersd::metrics {

namespace detail {

/// Calls f(i, distances) for each row i of x with its squared distances to all rows of y. Rows run in parallel; each
/// distance is the same for any number of threads. Cost: N M F multiplications.
template <class F>
void for_distances(const FeatureMatrix& x, const FeatureMatrix& y, F&& f) {
  require<ShapeError>(x.cols() == y.cols(), "neighbors: ", x.cols(), " features beside ", y.cols());
  // Centred, so that |x|^2 + |y|^2 - 2 x y loses no digits to a common offset.
  const Eigen::RowVectorXd center = y.colwise().mean();
  const FeatureMatrix to = y.rowwise() - center;
  const Eigen::RowVectorXd lengths = to.rowwise().squaredNorm().transpose();
  constexpr std::int64_t rows = 64;  // of a matmul
  parallel_for((x.rows() + rows - 1) / rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * rows; i < std::min<std::int64_t>(x.rows(), end * rows); i += rows) {
      const std::int64_t count = std::min<std::int64_t>(rows, x.rows() - i);
      const FeatureMatrix from = x.middleRows(i, count).rowwise() - center;
      FeatureMatrix d = -2 * from * to.transpose();
      d.colwise() += from.rowwise().squaredNorm();
      d.rowwise() += lengths;
      d = d.cwiseMax(0);
      for (std::int64_t r = 0; r < count; ++r)
        f(i + r, std::span<double>(d.row(r).data(), static_cast<std::size_t>(d.cols())));
    }
  });
}

/// Squared distance of each row to its k-th nearest other row.
template <class = void>
std::vector<double> squared_radii(const FeatureMatrix& x, std::int64_t k) {
  std::vector<double> out(static_cast<std::size_t>(x.rows()));
  for_distances(x, x, [&](std::int64_t i, std::span<double> d) {
    d[static_cast<std::size_t>(i)] = -1;  // the row itself comes first
    std::nth_element(d.begin(), d.begin() + k, d.end());
    out[static_cast<std::size_t>(i)] = d[static_cast<std::size_t>(k)];
  });
  return out;
}

/// How many balls around rows of y, of these squared radii, contain a point with squared distances `d` to those rows.
inline std::int64_t balls_around(std::span<const double> d, std::span<const double> radii) {
  std::int64_t n = 0;
  for (std::size_t j = 0; j < d.size(); ++j) n += d[j] <= radii[j];
  return n;
}

template <class Counts>
double share_above_zero(const Counts& counts) {
  return static_cast<double>(std::count_if(counts.begin(), counts.end(), [](auto n) { return n > 0; })) /
         static_cast<double>(counts.size());
}

}  // namespace detail

/// Fidelity and diversity of generated samples. A ball reaches from a sample to its k-th nearest neighbor of its own
/// set.
struct Manifold {
  double precision;  ///< share of generated samples in some ball of a real one (Kynkaanniemi et al. 2019)
  double recall;     ///< share of real samples in some ball of a generated one (the same)
  double density;    ///< mean number of real balls around a generated sample, over k (Naeem et al. 2020); 1 for equal
                     ///< distributions, can exceed 1
  double coverage;   ///< share of real balls that hold a generated sample (the same)
};

/// Compares features of real samples [N, F] with those of generated ones [M, F]. For equal distributions density is 1
/// in the mean and coverage 1 - prod_{i = 1..k} (N - i) / (M + N - i). Values depend on N, M and k: compare at equal
/// numbers. Throws ShapeError, OptionError unless 1 <= k < min(N, M), and NumericError for a feature that is not
/// finite.
template <class T>
Manifold manifold(const Tensor<T>& real, const Tensor<T>& generated, std::int64_t k = 5) {
  const FeatureMatrix x = feature_matrix(real), y = feature_matrix(generated);
  require<OptionError>(k >= 1 && k < std::min(x.rows(), y.rows()), "neighbors: k = ", k, " of ", x.rows(), " and ",
                       y.rows(), " samples");
  const std::vector<double> real_radii = detail::squared_radii(x, k), radii = detail::squared_radii(y, k);
  std::vector<std::int64_t> around_generated(radii.size()), around_real(real_radii.size());
  detail::for_distances(y, x, [&](std::int64_t i, std::span<const double> d) {
    around_generated[static_cast<std::size_t>(i)] = detail::balls_around(d, real_radii);
  });
  std::vector<char> covered(real_radii.size());
  detail::for_distances(x, y, [&](std::int64_t i, std::span<const double> d) {
    const auto own = static_cast<std::size_t>(i);
    around_real[own] = detail::balls_around(d, radii);
    covered[own] = *std::min_element(d.begin(), d.end()) <= real_radii[own];
  });
  double total = 0;
  for (const std::int64_t n : around_generated) total += static_cast<double>(n);
  return {detail::share_above_zero(around_generated), detail::share_above_zero(around_real),
          total / static_cast<double>(k * y.rows()), detail::share_above_zero(covered)};
}

/// Distance of each sample [N, F] to the nearest row of `reference` [M, F], M >= 1. Generated samples that are nearer
/// to the training set than held-out real ones are memorized. Throws ShapeError and NumericError.
template <class T>
std::vector<double> nearest_distances(const Tensor<T>& samples, const Tensor<T>& reference) {
  const FeatureMatrix x = feature_matrix(samples), y = feature_matrix(reference);
  require<ShapeError>(y.rows() >= 1, "nearest_distances: the reference has no sample");
  std::vector<double> out(static_cast<std::size_t>(x.rows()));
  detail::for_distances(x, y, [&](std::int64_t i, std::span<const double> d) {
    out[static_cast<std::size_t>(i)] = std::sqrt(*std::min_element(d.begin(), d.end()));
  });
  return out;
}

/// Share of `generated` distances, of `nearest_distances` to the training set, below a fraction `quantile` of those of
/// `held_out` real samples: `quantile` itself where nothing is memorized, 1 where every sample is a copy. Throws
/// ShapeError if either is empty.
inline double memorized_share(std::span<const double> generated, std::vector<double> held_out, double quantile = 0.05) {
  require<OptionError>(quantile > 0 && quantile < 1, "memorized_share: quantile = ", quantile, ", not in (0, 1)");
  require<ShapeError>(!generated.empty() && !held_out.empty(), "memorized_share of no samples");
  std::sort(held_out.begin(), held_out.end());
  const double limit = metrics::quantile(held_out, quantile);
  return static_cast<double>(std::count_if(generated.begin(), generated.end(), [&](double d) { return d < limit; })) /
         static_cast<double>(generated.size());
}

/// Mean distance of two different samples [N, F] that share a label, over all such pairs: what is left of it when a
/// model collapses to one picture a class is 0. NaN if no two samples share a label. Throws ShapeError unless there is
/// one label a sample.
template <class T>
double diversity_within_classes(const Tensor<T>& samples, std::span<const std::int32_t> labels) {
  const FeatureMatrix x = feature_matrix(samples);
  require<ShapeError>(labels.size() == static_cast<std::size_t>(x.rows()), "diversity: ", labels.size(), " labels for ",
                      x.rows(), " samples");
  std::vector<double> sums(labels.size());
  std::vector<std::int64_t> pairs(labels.size());
  detail::for_distances(x, x, [&](std::int64_t i, std::span<const double> d) {
    const auto own = static_cast<std::size_t>(i);
    for (std::size_t j = 0; j < d.size(); ++j)
      if (j != own && labels[j] == labels[own]) sums[own] += std::sqrt(d[j]), ++pairs[own];
  });
  double sum = 0, n = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) sum += sums[i], n += static_cast<double>(pairs[i]);
  return n > 0 ? sum / n : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace hypersd::metrics
