// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/nn/models/segmenter.hpp>
#include <hypersd/ops/compact.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/reduce.hpp>
#include <hypersd/ops/sort.hpp>
#include <vector>

namespace hypersd::feedback {

/// An object that a segmenter has found.
struct Found {
  int label = 0;
  double score = 0;
  Tensor<std::uint8_t> mask;  ///< [h, w]
};

/// Thresholds of `matrix_nms`.
struct MatrixNmsOptions {
  double score = 0.1, mask = 0.5;  ///< thresholds of a category's and a mask's probability
  double sigma = 2;                ///< of the Gaussian decay
  double update = 0.05;            ///< least score after the decay
  std::size_t most = 100;
};

namespace detail {

/// 1 / (1 + e^-x).
struct Probability {
  HYPERSD_HD double operator()(double x) const { return math::sigmoid(x); }
};
/// 1 above `least`.
template <class R>
struct Above {
  double least;
  HYPERSD_HD R operator()(double x) const { return x > least ? R(1) : R(0); }
};
/// Quotient or rest of element i in rows of `columns` elements.
struct Row {
  std::int32_t columns;
  HYPERSD_HD std::int32_t operator()(std::int32_t i) const { return i / columns; }
};
struct Column {
  std::int32_t columns;
  HYPERSD_HD std::int32_t operator()(std::int32_t i) const { return i % columns; }
};
/// A category's probability times the mean probability inside its mask, 0 without a mask.
struct ObjectScore {
  HYPERSD_HD double operator()(double category, double inside, double area) const {
    return area > 0 ? category * inside / area : 0;
  }
};
/// Intersection over union of objects i and j, if j is better than i and of the same class.
struct BetterOverlap {
  HYPERSD_HD double operator()(double both, double area, double other, double label, double other_label, double i,
                               double j) const {
    return j < i && label == other_label && both > 0 ? both / (area + other - both) : 0;
  }
};
/// Minus the Gaussian decay of object i by object j: the largest of a row is the decay that counts.
struct NegativeDecay {
  double sigma;
  HYPERSD_HD double operator()(double overlap, double other_worst, double i, double j) const {
    return j < i ? -math::exp(-sigma * (overlap * overlap - other_worst * other_worst)) : -1;
  }
};
/// -a b.
struct NegativeProduct {
  HYPERSD_HD double operator()(double a, double b) const { return -a * b; }
};

/// The largest element of each row of x [n, m]: [n].
template <class D>
Tensor<double, D> largest(const Tensor<double, D>& x) {
  return ops::top_k(x, 1).values.reshape(Shape{x.dim(0)});
}

/// Rows of x by index.
template <class D>
Tensor<double, D> rows_at(const Tensor<double, D>& x, const Tensor<std::int32_t, D>& indices) {
  return ops::embedding(x.reshape(Shape{x.dim(0), x.shape().numel_from(1)}), indices);
}

/// Scores after the decay, for objects in the order of their scores; masks [n, h w] of 0 and 1.
template <class D>
Tensor<double, D> decayed(const Tensor<double, D>& scores, const Tensor<double, D>& masks,
                          const Tensor<double, D>& labels, double sigma) {
  const auto rank = ops::places<double, D>(scores.dim(0));
  const auto area = ops::sum_to_samples(masks);
  const auto overlaps =
      ops::map(BetterOverlap{}, ops::matmul(masks, masks, false, true), ops::per_sample(area), ops::per_channel(area),
               ops::per_sample(labels), ops::per_channel(labels), ops::per_sample(rank), ops::per_channel(rank));
  const auto decay = largest(ops::map(NegativeDecay{sigma}, overlaps, ops::per_channel(largest(overlaps)),
                                      ops::per_sample(rank), ops::per_channel(rank)));
  return ops::map(NegativeProduct{}, scores, decay);
}

}  // namespace detail

/// Objects of each picture, best first: cells above the score threshold, their score times the mean probability of
/// their mask, and decayed by the overlap with better ones of the same class, exp(-sigma iou^2) over the same of the
/// better one itself. (Matrix NMS of SOLOv2, arXiv 2003.10152.) In double on the device of the logits; the objects are
/// on the host. For evaluation.
template <class T, class D>
std::vector<std::vector<Found>> matrix_nms(const nn::SegmenterOutput<T, D>& out, const MatrixNmsOptions& o = {}) {
  const auto probability = [](const Tensor<T, D>& x) { return ops::map(detail::Probability{}, ops::cast<double>(x)); };
  const Tensor<T, D>&mask = out.mask.value(), &category = out.category.value();
  const std::int64_t h = mask.dim(1), w = mask.dim(2), cells = mask.dim(3);
  const auto classes = static_cast<std::int32_t>(category.dim(3));
  std::vector<std::vector<Found>> all(static_cast<std::size_t>(category.dim(0)));
  for (std::int64_t b = 0; b < category.dim(0); ++b) {
    const auto categories = probability(category.slice(b, b + 1)).reshape(Shape{cells * classes});
    const auto candidates = ops::selected_indices(ops::map(detail::Above<std::uint8_t>{o.score}, categories));
    if (candidates.size() == 0) continue;
    const auto cell = ops::map(detail::Row{classes}, candidates);
    const auto inside = ops::permute(probability(mask.slice(b, b + 1)).reshape(Shape{h * w, cells}), {1, 0});
    const auto on = ops::map(detail::Above<double>{o.mask}, inside);
    const auto score = ops::map(
        detail::ObjectScore{}, detail::rows_at(categories, candidates).reshape(candidates.shape()),
        detail::rows_at(ops::sum_to_samples(ops::map(ops::Mul{}, inside, on)), cell).reshape(candidates.shape()),
        detail::rows_at(ops::sum_to_samples(on), cell).reshape(candidates.shape()));

    const auto ranked = ops::sort(score);
    const auto masks = detail::rows_at(detail::rows_at(on, cell), ranked.indices);
    const auto labels =
        detail::rows_at(ops::cast<double>(ops::map(detail::Column{classes}, candidates)), ranked.indices);
    const auto kept = ops::sort(detail::decayed(ranked.values, masks, labels.reshape(candidates.shape()), o.sigma));

    const std::vector<double> scores = kept.values.to_vector();
    const auto most = std::min(o.most, scores.size());
    const auto best = kept.indices.slice(0, static_cast<std::int64_t>(most));
    const auto best_masks = ops::cast<std::uint8_t>(detail::rows_at(masks, best)).template to<Cpu>();
    const std::vector<double> best_labels = detail::rows_at(labels, best).to_vector();
    for (std::size_t i = 0; i < most && scores[i] > 0 && scores[i] >= o.update; ++i) {
      const auto at = static_cast<std::int64_t>(i);
      all[static_cast<std::size_t>(b)].push_back(
          {static_cast<int>(best_labels[i]), scores[i], best_masks.slice(at, at + 1).clone().reshape(Shape{h, w})});
    }
  }
  return all;
}

}  // namespace hypersd::feedback
