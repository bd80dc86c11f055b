// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <hypersd/metrics/bootstrap.hpp>
#include <vector>

namespace hypersd::metrics {

/// Distance of a student's end points from the teacher's, from the same noise under the same condition.
struct TrajectoryError {
  std::vector<double> per_sample;  ///< mean squared difference of each sample's elements

  /// Mean over samples: the latent MSE.
  [[nodiscard]] double mean() const {
    double total = 0;
    for (const double e : per_sample) total += e;
    return per_sample.empty() ? 0 : total / static_cast<double>(per_sample.size());
  }
  /// The mean with its bootstrap interval over samples.
  [[nodiscard]] Interval interval(const BootstrapOptions& options = {}) const {
    return bootstrap_mean(per_sample, options);
  }
};

/// Error of end points `student` against `teacher`, both [B, ...] of equal shape. Throws ShapeError.
template <class T>
TrajectoryError trajectory_error(const Tensor<T>& student, const Tensor<T>& teacher) {
  require_same_shape("trajectory_error", student.shape(), teacher.shape());
  require<ShapeError>(student.rank() > 0, "trajectory_error of scalars");
  const std::int64_t samples = student.dim(0), inner = student.shape().numel_from(1);
  TrajectoryError out;
  for (std::int64_t s = 0; s < samples; ++s) {
    double total = 0;
    for (std::int64_t i = s * inner; i < (s + 1) * inner; ++i) {
      const double gap = static_cast<double>(student[i]) - static_cast<double>(teacher[i]);
      total += gap * gap;
    }
    out.per_sample.push_back(inner ? total / static_cast<double>(inner) : 0);
  }
  return out;
}

}  // namespace hypersd::metrics
