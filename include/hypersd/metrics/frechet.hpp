// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(__CUDACC__) && !defined(EIGEN_NO_CUDA)
#define EIGEN_NO_CUDA  // Eigen computes on the host only; without this Eigen marks every function for the device
#endif
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <hypersd/metrics/bootstrap.hpp>
#include <hypersd/metrics/moments.hpp>

namespace hypersd::metrics {

namespace detail {

/// Root of a symmetric positive semi-definite matrix; rounding below 0 is cut off. Templates, here and below, so that
/// Eigen's solver is compiled where it is used, not wherever the header is included.
template <class = void>
Eigen::MatrixXd symmetric_root(const Eigen::MatrixXd& a) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(a);
  require<NumericError>(eigen.info() == Eigen::Success, "Frechet distance: the eigenvalues did not converge");
  const Eigen::VectorXd root = eigen.eigenvalues().cwiseMax(0).cwiseSqrt();
  return eigen.eigenvectors() * root.asDiagonal() * eigen.eigenvectors().transpose();
}

}  // namespace detail

/// Squared Frechet (2-Wasserstein) distance of the Gaussians N(m1, C1) and N(m2, C2) (Dowson and Landau 1982):
/// |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1^1/2 C2 C1^1/2)^1/2. The product is symmetric, so real eigenvalues suffice.
/// Throws ShapeError for different sizes. Never below 0.
template <class = void>
double frechet_distance(const Eigen::VectorXd& mean1, const Eigen::MatrixXd& cov1, const Eigen::VectorXd& mean2,
                        const Eigen::MatrixXd& cov2) {
  const auto n = mean1.size();
  require<ShapeError>(mean2.size() == n && cov1.rows() == n && cov1.cols() == n && cov2.rows() == n && cov2.cols() == n,
                      "Frechet distance between ", n, " and ", mean2.size(), " features");
  const Eigen::MatrixXd root = detail::symmetric_root(cov1);
  Eigen::MatrixXd product = root * cov2 * root;
  product = 0.5 * (product + product.transpose()).eval();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(product, Eigen::EigenvaluesOnly);
  require<NumericError>(eigen.info() == Eigen::Success, "Frechet distance: the eigenvalues did not converge");
  const double cross = eigen.eigenvalues().cwiseMax(0).cwiseSqrt().sum();
  return std::max(0.0, (mean1 - mean2).squaredNorm() + cov1.trace() + cov2.trace() - 2 * cross);
}
/// The same for accumulated moments.
template <class Real>
double frechet_distance(const BasicMoments<Real>& a, const BasicMoments<Real>& b) {
  return frechet_distance(a.mean(), a.covariance(), b.mean(), b.covariance());
}
/// Distance between two sets of features, [N, F] and [M, F], N and M at least 2.
template <class T>
double frechet_distance(const Tensor<T>& a, const Tensor<T>& b) {
  return frechet_distance(moments_of(a), moments_of(b));
}

/// Frechet distance of `features` [N, F] to fixed reference moments, with a bootstrap interval over the N samples.
/// A resample repeats samples, which biases its distance upwards by about the bias of the sample itself. The default
/// interval is shifted by that bias (`IntervalKind::centred`). Throws ShapeError, and NumericError for fewer than two
/// samples.
template <class T>
Interval frechet_interval(const Tensor<T>& features, const Moments& reference,
                          const BootstrapOptions& options = {.resamples = 200, .kind = IntervalKind::centred}) {
  const FeatureMatrix samples = feature_matrix(features);
  const Eigen::VectorXd& mean = reference.mean();
  const Eigen::MatrixXd covariance = reference.covariance();
  FeatureMatrix drawn(samples.rows(), samples.cols());
  return bootstrap_interval(
      samples.rows(),
      [&](std::span<const std::int64_t> indices) {
        for (std::size_t i = 0; i < indices.size(); ++i)
          drawn.row(static_cast<Eigen::Index>(i)) = samples.row(indices[i]);
        Moments moments(samples.cols());
        moments.add(drawn);
        return frechet_distance(moments.mean(), moments.covariance(), mean, covariance);
      },
      options);
}

}  // namespace hypersd::metrics
