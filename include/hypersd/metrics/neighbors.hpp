// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/metrics/bootstrap.hpp>
#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/reduce.hpp>
#include <hypersd/ops/sort.hpp>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

/// \file
/// Measures by nearest neighbors in feature space: fidelity, diversity and memorization apart, where a Frechet
/// distance is one number for all. They are computed in double on the device of the features, and are the same for any
/// number of threads. Cost: N M F multiplications; a block of rows times all samples in memory.

namespace hypersd::metrics {

namespace detail {

/// -|x - y|^2 from 2 x y, |x|^2 and |y|^2; never positive.
struct Nearness {
  HYPERSD_HD double operator()(double product, double x, double y) const {
    const double v = product - x - y;
    return v < 0 ? v : 0;
  }
};
/// The nearness of two samples of one set; a sample is nearest to itself.
struct OthersNearness {
  HYPERSD_HD double operator()(double nearness, double i, double j) const { return i == j ? 1 : nearness; }
};
/// 1 where a is at least b.
struct AtLeast {
  HYPERSD_HD double operator()(double a, double b) const { return a >= b ? 1 : 0; }
};
/// The distance of two different samples i and j that share a label; 0 for other pairs.
struct DistanceWithinClass {
  HYPERSD_HD double operator()(double nearness, double i, double j, double label, double other) const {
    return i != j && label == other ? math::sqrt(nearness < 0 ? -nearness : 0) : 0;
  }
};
/// 1 for such a pair.
struct PairWithinClass {
  HYPERSD_HD double operator()(double, double i, double j, double label, double other) const {
    return i != j && label == other ? 1 : 0;
  }
};
/// 1 where x is not finite.
struct NotFinite {
  HYPERSD_HD double operator()(double x) const { return x - x == 0 ? 0 : 1; }
};

/// [N, F] features in double. Throws ShapeError for another rank and NumericError for a feature that is not finite,
/// naming the sample.
template <class T, class D>
Tensor<double, D> neighbor_features(const Tensor<T, D>& features) {
  require<ShapeError>(features.rank() == 2 && features.dim(1) > 0, "features: shape ", features.shape(),
                      ", [samples, features] needed");
  const auto out = ops::cast<double>(features);
  if (ops::wide_map_sum(NotFinite{}, out).item() > 0) {
    const std::vector<double> values = out.to_vector();
    const auto bad = std::find_if(values.begin(), values.end(), [](double x) { return !std::isfinite(x); });
    fail<NumericError>("features: sample ", (bad - values.begin()) / features.dim(1), " has the feature ", *bad);
  }
  return out;
}

/// Calls f(first, nearness [n, M]) for blocks of n rows of x from row `first` on: minus their squared distances to all
/// rows of y.
template <class D, class F>
void for_nearness(const Tensor<double, D>& x, const Tensor<double, D>& y, F&& f) {
  require<ShapeError>(x.dim(1) == y.dim(1), "neighbors: ", x.dim(1), " features beside ", y.dim(1));
  // Centred, so that |x|^2 + |y|^2 - 2 x y loses no digits to a common offset.
  const auto center = ops::map(ops::Affine<double>{1 / static_cast<double>(std::max<std::int64_t>(1, y.dim(0)))},
                               ops::sum_to_channels(y));
  const auto to = ops::map(ops::Sub{}, y, ops::per_channel(center));
  const auto lengths = ops::sum_to_samples(ops::map(ops::Square{}, to));
  constexpr std::int64_t block = 256;
  for (std::int64_t first = 0; first < x.dim(0); first += block) {
    const auto from = ops::map(ops::Sub{}, x.slice(first, std::min(x.dim(0), first + block)), ops::per_channel(center));
    const Tensor<double, D> nearness(Shape{from.dim(0), to.dim(0)});
    ops::gemm(nearness, from, false, to, true, 2.0);
    ops::map_into(nearness, Nearness{}, nearness, ops::per_sample(ops::sum_to_samples(ops::map(ops::Square{}, from))),
                  ops::per_channel(lengths));
    f(first, nearness);
  }
}

/// The nearness of each row of x [N, F] to its k-th nearest other row: [N].
template <class D>
Tensor<double, D> radii(const Tensor<double, D>& x, std::int64_t k) {
  const auto all = ops::places<double, D>(x.dim(0));
  std::vector<Tensor<double, D>> parts;
  for_nearness(x, x, [&](std::int64_t first, const Tensor<double, D>& nearness) {
    const auto own = all.slice(first, first + nearness.dim(0));
    const auto others = ops::map(OthersNearness{}, nearness, ops::per_sample(own), ops::per_channel(all));
    parts.push_back(ops::slice_last(ops::top_k(others, k + 1).values, k, k + 1));
  });
  return ops::concat_first(parts).reshape(Shape{x.dim(0)});
}

/// How many elements of each row are at least `limit`, an operand of a map: [n].
template <class D, class Limit>
Tensor<double, D> count_at_least(const Tensor<double, D>& nearness, const Limit& limit) {
  return ops::sum_to_samples(ops::map(AtLeast{}, nearness, limit));
}

/// The nearness of each row of x to the nearest row of y, on the host.
template <class D>
std::vector<double> nearest(const Tensor<double, D>& x, const Tensor<double, D>& y) {
  std::vector<Tensor<double, D>> parts;
  for_nearness(
      x, y, [&](std::int64_t, const Tensor<double, D>& nearness) { parts.push_back(ops::top_k(nearness, 1).values); });
  return parts.empty() ? std::vector<double>{} : ops::concat_first(parts).to_vector();
}

inline double share_above_zero(const std::vector<double>& counts) {
  return static_cast<double>(std::count_if(counts.begin(), counts.end(), [](double n) { return n > 0; })) /
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
template <class T, class D>
Manifold manifold(const Tensor<T, D>& real, const Tensor<T, D>& generated, std::int64_t k = 5) {
  const auto x = detail::neighbor_features(real), y = detail::neighbor_features(generated);
  require<OptionError>(k >= 1 && k < std::min(x.dim(0), y.dim(0)), "neighbors: k = ", k, " of ", x.dim(0), " and ",
                       y.dim(0), " samples");
  const auto real_radii = detail::radii(x, k), generated_radii = detail::radii(y, k);
  std::vector<Tensor<double, D>> around_generated, around_real, within_real;
  detail::for_nearness(y, x, [&](std::int64_t, const Tensor<double, D>& nearness) {
    around_generated.push_back(detail::count_at_least(nearness, ops::per_channel(real_radii)));
  });
  detail::for_nearness(x, y, [&](std::int64_t first, const Tensor<double, D>& nearness) {
    const auto own = real_radii.slice(first, first + nearness.dim(0));
    around_real.push_back(detail::count_at_least(nearness, ops::per_channel(generated_radii)));
    within_real.push_back(detail::count_at_least(nearness, ops::per_sample(own)));
  });
  const std::vector<double> balls = ops::concat_first(around_generated).to_vector();
  const double total = std::accumulate(balls.begin(), balls.end(), 0.0);
  return {detail::share_above_zero(balls), detail::share_above_zero(ops::concat_first(around_real).to_vector()),
          total / static_cast<double>(k * y.dim(0)),
          detail::share_above_zero(ops::concat_first(within_real).to_vector())};
}

/// Distance of each sample [N, F] to the nearest row of `reference` [M, F], M >= 1. Generated samples that are nearer
/// to the training set than held-out real ones are memorized. Throws ShapeError and NumericError.
template <class T, class D>
std::vector<double> nearest_distances(const Tensor<T, D>& samples, const Tensor<T, D>& reference) {
  const auto x = detail::neighbor_features(samples), y = detail::neighbor_features(reference);
  require<ShapeError>(y.dim(0) >= 1, "nearest_distances: the reference has no sample");
  std::vector<double> out = detail::nearest(x, y);
  for (double& v : out) v = std::sqrt(-v);
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
template <class T, class D>
double diversity_within_classes(const Tensor<T, D>& samples, std::span<const std::int32_t> labels) {
  const auto x = detail::neighbor_features(samples);
  require<ShapeError>(labels.size() == static_cast<std::size_t>(x.dim(0)), "diversity: ", labels.size(), " labels for ",
                      x.dim(0), " samples");
  const auto all = ops::places<double, D>(x.dim(0));
  const std::vector<double> wide(labels.begin(), labels.end());
  const auto classes = Tensor<double>::from(Shape{x.dim(0)}, wide).template to<D>();
  double sum = 0, pairs = 0;
  detail::for_nearness(x, x, [&](std::int64_t first, const Tensor<double, D>& nearness) {
    const std::int64_t end = first + nearness.dim(0);
    const auto own = all.slice(first, end), label = classes.slice(first, end);
    const auto total = [&](const auto& f) {
      return ops::sum(ops::map(f, nearness, ops::per_sample(own), ops::per_channel(all), ops::per_sample(label),
                               ops::per_channel(classes)))
          .item();
    };
    sum += total(detail::DistanceWithinClass{}), pairs += total(detail::PairWithinClass{});
  });
  return pairs > 0 ? sum / pairs : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace hypersd::metrics
