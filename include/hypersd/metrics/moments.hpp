// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(__CUDACC__) && !defined(EIGEN_NO_CUDA)
#define EIGEN_NO_CUDA  // Eigen computes on the host only; without this Eigen marks every function for the device
#endif
#include <Eigen/Core>
#include <cmath>
#include <concepts>
#include <hypersd/core/tensor.hpp>
#include <span>

namespace hypersd::metrics {

/// Features as rows of a matrix in double, for any element type of the tensor.
using FeatureMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// [N, F] features as a matrix of doubles. Throws ShapeError for another rank and NumericError for a feature that is
/// not finite, naming the sample.
template <class T>
FeatureMatrix feature_matrix(const Tensor<T>& features) {
  require<ShapeError>(features.rank() == 2 && features.dim(1) > 0, "features: shape ", features.shape(),
                      ", [samples, features] needed");
  FeatureMatrix out(features.dim(0), features.dim(1));
  for (std::int64_t i = 0; i < features.size(); ++i) {
    const auto x = static_cast<double>(features[i]);
    require<NumericError>(std::isfinite(x), "features: sample ", i / features.dim(1), " has the feature ", x);
    out.data()[i] = x;
  }
  return out;
}

/// Mean and covariance of features, accumulated in double. Batches are centred before their products are summed and
/// then joined by the update of Chan, Golub and LeVeque (1983), so that a large common offset costs no precision.
/// A template so that Eigen's products are compiled where they are used, not wherever the header is included.
template <class Real>
class BasicMoments {
  static_assert(std::same_as<Real, double>, "moments are accumulated in double");

 public:
  /// For features of length `features` >= 1.
  explicit BasicMoments(std::int64_t features)
      : mean_(Eigen::VectorXd::Zero(features)), scatter_(Eigen::MatrixXd::Zero(features, features)) {
    require<OptionError>(features >= 1, "Moments: ", features, " features");
  }

  /// Adds the rows of `batch` (as many columns as there are features).
  void add(const Eigen::Ref<const FeatureMatrix>& batch) {
    require<ShapeError>(batch.cols() == mean_.size(), "Moments: ", batch.cols(), " features, ", mean_.size(),
                        " expected");
    if (batch.rows() == 0) return;
    const Eigen::VectorXd batch_mean = batch.colwise().mean();
    const FeatureMatrix centred = batch.rowwise() - batch_mean.transpose();
    scatter_.noalias() += centred.transpose() * centred;
    const auto n = static_cast<double>(count_), m = static_cast<double>(batch.rows());
    const Eigen::VectorXd gap = batch_mean - mean_;
    scatter_.noalias() += (n * m / (n + m)) * (gap * gap.transpose());
    mean_ += (m / (n + m)) * gap;
    count_ += batch.rows();
  }
  /// Adds the samples of a [N, F] tensor.
  template <class T>
  void add(const Tensor<T>& features) {
    add(feature_matrix(features));
  }

  /// Number of samples so far.
  [[nodiscard]] std::int64_t count() const { return count_; }
  /// Length of a feature vector.
  [[nodiscard]] std::int64_t features() const { return mean_.size(); }
  /// Mean of the samples; 0 without samples.
  [[nodiscard]] const Eigen::VectorXd& mean() const { return mean_; }
  /// Unbiased covariance (divisor count - 1). Throws NumericError for fewer than two samples.
  [[nodiscard]] Eigen::MatrixXd covariance() const {
    require<NumericError>(count_ >= 2, "covariance of ", count_, " samples: at least 2 needed");
    return scatter_ / static_cast<double>(count_ - 1);
  }

 private:
  std::int64_t count_ = 0;
  Eigen::VectorXd mean_;
  Eigen::MatrixXd scatter_;
};

/// Moments in double.
using Moments = BasicMoments<double>;

/// Moments of the samples of a [N, F] tensor.
template <class T>
Moments moments_of(const Tensor<T>& features) {
  const FeatureMatrix matrix = feature_matrix(features);
  Moments out(matrix.cols());
  out.add(matrix);
  return out;
}

}  // namespace hypersd::metrics
