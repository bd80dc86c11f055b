// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <hypersd/core/tensor.hpp>
#include <hypersd/metrics/bootstrap.hpp>
#include <vector>

namespace hypersd::metrics {

/// Index of the largest entry of each row of [B, K] scores, the first of equal ones. Throws NumericError for NaN.
template <class T>
std::vector<std::int32_t> predicted_classes(const Tensor<T>& scores) {
  require<ShapeError>(scores.rank() == 2 && scores.dim(1) > 0, "predicted_classes: shape ", scores.shape(),
                      ", [samples, classes] needed");
  std::vector<std::int32_t> out;
  const std::int64_t classes = scores.dim(1);
  for (std::int64_t i = 0; i < scores.dim(0); ++i) {
    const T* row = scores.data() + i * classes;
    for (std::int64_t k = 0; k < classes; ++k)
      require<NumericError>(!std::isnan(row[k]), "predicted_classes: the scores of sample ", i, " hold NaN");
    out.push_back(static_cast<std::int32_t>(std::max_element(row, row + classes) - row));
  }
  return out;
}

/// How often samples show the class of their prompt.
struct Agreement {
  std::vector<double> hits;  ///< per sample: 1 if the prompted class was found, else 0

  /// Share of hits in [0, 1].
  [[nodiscard]] double share() const {
    double n = 0;
    for (const double h : hits) n += h;
    return hits.empty() ? 0 : n / static_cast<double>(hits.size());
  }
  /// The share with its bootstrap interval over samples.
  [[nodiscard]] Interval interval(const BootstrapOptions& options = {}) const { return bootstrap_mean(hits, options); }
};

/// Compares classes found with classes prompted, one of each per sample. Throws ShapeError for different lengths.
inline Agreement agreement(std::span<const std::int32_t> found, std::span<const std::int32_t> prompted) {
  require<ShapeError>(found.size() == prompted.size(), "agreement: ", found.size(), " classes found for ",
                      prompted.size(), " prompted");
  Agreement out;
  for (std::size_t i = 0; i < found.size(); ++i) out.hits.push_back(found[i] == prompted[i] ? 1.0 : 0.0);
  return out;
}

/// Condition agreement of `samples` [N, ...] with `prompted` [N]: `classifier` maps a batch to [B, K] scores (a tensor)
/// and sees at most `batch` samples at a time.
template <class T, class Classifier>
requires std::convertible_to < std::invoke_result_t < Classifier&, const Tensor<T>
& >, Tensor < T >> Agreement agreement(Classifier&& classifier, const Tensor<T>& samples,
                                       const Tensor<std::int32_t>& prompted, std::int64_t batch = 256) {
  require<OptionError>(batch >= 1, "agreement: batch = ", batch);
  require<ShapeError>(samples.rank() > 0 && samples.dim(0) == prompted.size(), "agreement: samples of shape ",
                      samples.shape(), " for ", prompted.size(), " prompts");
  std::vector<std::int32_t> found;
  for (std::int64_t begin = 0; begin < samples.dim(0); begin += batch) {
    const Tensor<T> scores = classifier(samples.slice(begin, std::min(samples.dim(0), begin + batch)));
    const auto classes = predicted_classes(scores);
    found.insert(found.end(), classes.begin(), classes.end());
  }
  return agreement(found, std::span<const std::int32_t>(prompted.data(), static_cast<std::size_t>(prompted.size())));
}

/// Share of hits for each of `classes` prompted classes; NaN for a class that was never prompted.
inline std::vector<double> agreement_by_class(const Agreement& result, std::span<const std::int32_t> prompted,
                                              std::int32_t classes) {
  require<ShapeError>(result.hits.size() == prompted.size(), "agreement_by_class: ", result.hits.size(),
                      " results for ", prompted.size(), " prompts");
  std::vector<double> hits(static_cast<std::size_t>(std::max(0, classes)), 0.0), counts(hits.size(), 0.0);
  for (std::size_t i = 0; i < prompted.size(); ++i) {
    require<OptionError>(prompted[i] >= 0 && prompted[i] < classes, "agreement_by_class: class ", prompted[i], " of ",
                         classes);
    hits[static_cast<std::size_t>(prompted[i])] += result.hits[i];
    counts[static_cast<std::size_t>(prompted[i])] += 1;
  }
  for (std::size_t k = 0; k < hits.size(); ++k) hits[k] /= counts[k];
  return hits;
}

}  // namespace hypersd::metrics
