// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "data.hpp"

#include <hypersd/metrics/kernel_distance.hpp>
#include <hypersd/metrics/neighbors.hpp>

#include <cmath>

namespace fashion {

/// Fidelity and diversity of samples beside as many real test images.
struct Fidelity {
  metrics::Estimate frechet;  ///< for infinitely many samples, in the units of the Frechet distance
  metrics::Estimate kernel;   ///< unbiased, of features whose mean square is 1 on test images
  metrics::Manifold manifold{};
  double memorized = 0;  ///< share of samples nearer to a training image than 5 % of the test images are
  double diversity = 0;  ///< mean distance within a caption's class, in units of that of real images
};

/// Compares features of samples with those of real images.
class FidelityMeasure {
 public:
  /// `features(images)` gives [N, F]. Test images beyond `samples` are not used.
  template <class Features>
  FidelityMeasure(const Dataset& data, std::int64_t samples, std::int64_t training, Features&& features) {
    const auto of = [&](const data::ImageSet& set) { return features(set.images(0, set.size())); };
    const auto test = data.images.test.first(std::min(samples, data.images.test.size()));
    real_ = of(test);
    labels_ = test.labels();
    training_ = of(data.images.train.first(training));
    usual_ = metrics::nearest_distances(real_, training_);
    double squares = 0;
    for (const float x : real_.span()) squares += static_cast<double>(x) * static_cast<double>(x);
    scale_ = static_cast<float>(std::sqrt(static_cast<double>(real_.size()) / std::max(1e-12, squares)));
  }

  /// Of features [N, F] of samples of the classes `labels`, with `limit` as the Frechet distance of infinitely many.
  [[nodiscard]] Fidelity operator()(const Tensor<float>& samples, const Tensor<std::int32_t>& labels,
                                    const metrics::Estimate& limit) const {
    const std::int64_t n = std::min(real_.dim(0), samples.dim(0));
    const auto real = real_.slice(0, n), drawn = samples.slice(0, n);
    return {limit, metrics::kernel_distance(scaled(drawn), scaled(real)), metrics::manifold(real, drawn),
            metrics::memorized_share(metrics::nearest_distances(samples, training_), usual_),
            within(drawn, labels) / within(real, labels_)};
  }

 private:
  static double within(const Tensor<float>& x, const Tensor<std::int32_t>& labels) {
    return metrics::diversity_within_classes(x, labels.span().first(static_cast<std::size_t>(x.dim(0))));
  }
  [[nodiscard]] Tensor<float> scaled(const Tensor<float>& x) const {
    Tensor<float> out = x.clone();
    for (float& v : out.span()) v *= scale_;
    return out;
  }

  Tensor<float> real_, training_;
  Tensor<std::int32_t> labels_;
  std::vector<double> usual_;
  float scale_ = 1;
};

}  // namespace fashion
