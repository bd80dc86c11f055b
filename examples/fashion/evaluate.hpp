// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base.hpp"
#include "fidelity.hpp"
#include "sample.hpp"

#include <hypersd/io/png.hpp>
#include <hypersd/metrics/agreement.hpp>
#include <hypersd/metrics/frechet_infinity.hpp>
#include <hypersd/metrics/trajectory.hpp>
#include <hypersd/report/image_grid.hpp>

namespace fashion {

/// What the results call a part of the recipe. One stage with k = 1 is TCD.
inline std::string title_of(const std::string& part, const Options& o) {
  const std::string base = o.stage_segments == std::vector{1} ? "TCD" : "TSCD";
  if (part == "tscd") return base;
  if (part == "feedback") return base + " + feedback";
  if (part == "one-step") return "unified";
  if (part == whole_unet) return "one step, whole UNet";
  if (part.starts_with("one-step-")) return "one step, t = " + part.substr(9);
  return part;
}

/// One line of the results: a sampler with its measures over the evaluation samples.
struct Result {
  std::string method;
  std::int64_t steps = 0;
  double eta = 0;
  metrics::Interval frechet, agreement;
  metrics::Interval trajectory;  ///< latent MSE to the teacher's 50-step end point; NaN for stochastic samplers
  metrics::Interval judge, preference, aesthetic;  ///< rewards; the judge is the one that nothing was trained on
  Fidelity fidelity = {};
};

/// Classifier features as the space of all metrics.
///
/// The scale of a network's features is arbitrary, so the Frechet distance is given in units in which 2000 real
/// training images that the classifier never saw are `floor` away from the test set; ratios to that floor are what
/// counts.
template <Device D>
class Evaluator {
 public:
  static constexpr double floor = 1.10;

  Evaluator(const Run& run, const Dataset& data, const nn::Classifier<float, D>& classifier)
      : run_(run), classifier_(classifier), reference_(moments(data.images.test)) {
    // Real images from behind those that the classifier was trained on, as far as there are any.
    const data::ImageSet& train = data.images.train;
    const std::int64_t end = train.size(), begin = std::max<std::int64_t>(0, end - 2000);
    scale_ = floor / std::max(1e-12, metrics::frechet_distance(moments(train.part(begin, end)), reference_));
    const data::ImageSet& test = data.images.test;
    accuracy_ = agreement(test.images(0, test.size()), test.labels()).estimate;
  }
  /// Accuracy of the classifier on real test images.
  [[nodiscard]] double accuracy() const { return accuracy_; }

  /// Penultimate features [N, 64].
  [[nodiscard]] Tensor<float> features(const Tensor<float>& images) const {
    const autograd::NoGrad guard;
    return in_batches(images, 500, [&](const Tensor<float>& x) {
      return classifier_.features(Var<float, D>(x.template to<D>())).value().template to<Cpu>();
    });
  }
  [[nodiscard]] metrics::Interval frechet(const Tensor<float>& images) const { return frechet_of(features(images)); }
  /// The same of features [N, 64].
  [[nodiscard]] metrics::Interval frechet_of(const Tensor<float>& samples) const {
    auto out = metrics::frechet_interval(samples, reference_,
                                         {.resamples = run_.options.bootstrap, .kind = metrics::IntervalKind::centred});
    return {scale_ * out.estimate, scale_ * out.low, scale_ * out.high};
  }
  /// For infinitely many samples like the given features.
  [[nodiscard]] metrics::Estimate frechet_infinity(const Tensor<float>& samples) const {
    const metrics::Estimate limit = metrics::frechet_infinity(samples, reference_);
    return {scale_ * limit.value, scale_ * limit.standard_error};
  }
  /// Distance between two sets of pictures, in the same units.
  [[nodiscard]] double between(const Tensor<float>& a, const Tensor<float>& b) const {
    return scale_ * metrics::frechet_distance(metrics::moments_of(features(a)), metrics::moments_of(features(b)));
  }
  [[nodiscard]] metrics::Interval agreement(const Tensor<float>& images, const Tensor<std::int32_t>& labels) const {
    const autograd::NoGrad guard;
    const auto logits = [&](const Tensor<float>& x) {
      return classifier_(Var<float, D>(x.template to<D>())).value().template to<Cpu>();
    };
    return metrics::agreement(logits, images, labels).interval({.resamples = run_.options.bootstrap});
  }

 private:
  [[nodiscard]] metrics::Moments moments(const data::ImageSet& set) const {
    return metrics::moments_of(features(set.images(0, set.size())));
  }

  const Run& run_;
  const nn::Classifier<float, D>& classifier_;
  metrics::Moments reference_;
  double scale_ = 1, accuracy_ = 0;
};

}  // namespace fashion
