// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/tensor.hpp>
#include <hypersd/nn/models/segmenter.hpp>

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

/// Objects of each picture, best first: cells above the score threshold, their score times the mean probability of
/// their mask, and decayed by the overlap with better ones of the same class, exp(-sigma iou^2) over the same of the
/// better one itself. (Matrix NMS of SOLOv2, arXiv 2003.10152.) For evaluation.
template <class T, class D>
std::vector<std::vector<Found>> matrix_nms(const nn::SegmenterOutput<T, D>& out, const MatrixNmsOptions& o = {}) {
  const auto category = out.category.value().template to<Cpu>(), mask = out.mask.value().template to<Cpu>();
  const std::int64_t cells = mask.dim(3), h = mask.dim(1), w = mask.dim(2), classes = category.dim(3);
  const auto probability = [](T x) { return 1 / (1 + std::exp(-static_cast<double>(x))); };
  std::vector<std::vector<Found>> all;
  for (std::int64_t b = 0; b < category.dim(0); ++b) {
    std::vector<Found> found;
    for (std::int64_t c = 0; c < cells; ++c)
      for (std::int64_t k = 0; k < classes; ++k) {
        const double score = probability(category[(b * cells + c) * classes + k]);
        if (score <= o.score) continue;
        Found one{static_cast<int>(k), 0, Tensor<std::uint8_t>(Shape{h, w})};
        double sum = 0, area = 0;
        for (std::int64_t i = 0; i < h * w; ++i) {
          const double p = probability(mask[(b * h * w + i) * cells + c]);
          one.mask[i] = p > o.mask ? 1 : 0;
          if (p > o.mask) sum += p, area += 1;
        }
        if (area == 0) continue;
        one.score = score * sum / area;
        found.push_back(one);
      }
    std::stable_sort(found.begin(), found.end(), [](const Found& x, const Found& y) { return x.score > y.score; });
    const auto iou = [&](const Found& x, const Found& y) {
      double both = 0, any = 0;
      for (std::int64_t i = 0; i < h * w; ++i) {
        both += x.mask[i] != 0 && y.mask[i] != 0 ? 1 : 0;
        any += x.mask[i] != 0 || y.mask[i] != 0 ? 1 : 0;
      }
      return x.label == y.label && any > 0 ? both / any : 0.0;
    };
    std::vector<double> worst(found.size(), 0), kept;  // worst[i]: the overlap of i with any better one
    for (std::size_t i = 0; i < found.size(); ++i)
      for (std::size_t j = 0; j < i; ++j) worst[i] = std::max(worst[i], iou(found[i], found[j]));
    for (std::size_t i = 0; i < found.size(); ++i) {
      double decay = 1;
      for (std::size_t j = 0; j < i; ++j) {
        const double v = iou(found[i], found[j]);
        decay = std::min(decay, std::exp(-o.sigma * (v * v - worst[j] * worst[j])));
      }
      kept.push_back(found[i].score * decay);
    }
    std::vector<Found> left;
    for (std::size_t i = 0; i < found.size(); ++i)
      if (kept[i] >= o.update) {
        left.push_back(found[i]);
        left.back().score = kept[i];
      }
    std::stable_sort(left.begin(), left.end(), [](const Found& x, const Found& y) { return x.score > y.score; });
    if (left.size() > o.most) left.resize(o.most);
    all.push_back(std::move(left));
  }
  return all;
}

}  // namespace hypersd::feedback
