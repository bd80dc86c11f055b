// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/frechet.hpp>
//
#include <doctest/doctest.h>

#include <gaussian_features.hpp>

using namespace hypersd;
using gaussian_features::gaussian;

namespace {

Eigen::MatrixXd random_covariance(int n, std::string_view name) {
  const auto a = ops::normal<double>(Shape{n, n}, stream(4, name));
  const Eigen::Map<const metrics::FeatureMatrix> m(a.data(), n, n);
  return m * m.transpose();
}

}  // namespace

TEST_CASE("identical sets are at distance 0") {
  const auto x = gaussian(500, {1, 2, 3, 4}, {1, 0.1, 5, 2}, "x");
  CHECK(metrics::frechet_distance(x, x) <= 1e-10);
  CHECK(metrics::frechet_distance(x, x) >= 0);
}

TEST_CASE("Gaussians with commuting covariances have the closed form") {
  // |m1 - m2|^2 + sum (s1 - s2)^2 for diagonal covariances s^2.
  Eigen::VectorXd m1(3), m2(3), s1(3), s2(3);
  m1 << 0, 1, 2;
  m2 << 1, -1, 2;
  s1 << 1, 2, 3;
  s2 << 2, 2, 0.5;
  const Eigen::MatrixXd c1 = s1.cwiseAbs2().asDiagonal(), c2 = s2.cwiseAbs2().asDiagonal();
  CHECK(metrics::frechet_distance(m1, c1, m2, c2) == doctest::Approx(5.0 + 1.0 + 6.25));
}

TEST_CASE("two-by-two covariances: tr (C1 C2)^1/2 = sqrt(tr C1 C2 + 2 sqrt(det C1 C2))") {
  const Eigen::VectorXd zero = Eigen::VectorXd::Zero(2);
  for (const char* name : {"a", "b", "c"}) {
    const Eigen::MatrixXd c1 = random_covariance(2, name), c2 = random_covariance(2, std::string(name) + "2");
    const Eigen::MatrixXd product = c1 * c2;
    const double cross = std::sqrt(product.trace() + 2 * std::sqrt(product.determinant()));
    CHECK(metrics::frechet_distance(zero, c1, zero, c2) ==
          doctest::Approx(c1.trace() + c2.trace() - 2 * cross).epsilon(1e-9));
  }
}

TEST_CASE("the distance is symmetric and does not change under rotation and shift of both") {
  const int n = 6;
  const Eigen::MatrixXd c1 = random_covariance(n, "p"), c2 = random_covariance(n, "q");
  const Eigen::VectorXd m1 = c1.col(0), m2 = c2.col(1);
  const double d = metrics::frechet_distance(m1, c1, m2, c2);
  CHECK(metrics::frechet_distance(m2, c2, m1, c1) == doctest::Approx(d).epsilon(1e-9));
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(random_covariance(n, "r"));
  const Eigen::MatrixXd rotation = eigen.eigenvectors();
  const Eigen::VectorXd shift = Eigen::VectorXd::Constant(n, 7.0);
  CHECK(metrics::frechet_distance(rotation * m1 + shift, rotation * c1 * rotation.transpose(), rotation * m2 + shift,
                                  rotation * c2 * rotation.transpose()) == doctest::Approx(d).epsilon(1e-8));
}

TEST_CASE("singular covariances are allowed") {
  const auto a = gaussian(50, {0, 1}, {1, 0}, "a"), b = gaussian(50, {0, 3}, {1, 0}, "a");
  CHECK(metrics::frechet_distance(a, b) == doctest::Approx(4.0).epsilon(1e-7));
}

TEST_CASE("sampled Gaussians approach the analytic distance") {
  const auto a = gaussian(20000, {0, 0, 0}, {1, 1, 1}, "left"), b = gaussian(20000, {1, 0, 0}, {1, 2, 1}, "right");
  CHECK(metrics::frechet_distance(a, b) == doctest::Approx(2.0).epsilon(0.03));
}

TEST_CASE("the bootstrap interval holds the estimate, shrinks with n and repeats exactly") {
  const auto reference = metrics::moments_of(gaussian(5000, {0, 0, 0}, {1, 1, 1}, "reference"));
  const auto small = gaussian(200, {0.5, 0, 0}, {1, 1, 1}, "few");
  const auto large = gaussian(3200, {0.5, 0, 0}, {1, 1, 1}, "many");
  const auto i = metrics::frechet_interval(small, reference), j = metrics::frechet_interval(large, reference);
  CHECK(i.low < i.estimate);
  CHECK(i.estimate < i.high);
  CHECK(j.high - j.low < 0.5 * (i.high - i.low));
  CHECK(j.low < 0.25);
  CHECK(0.25 < j.high);
  CHECK(metrics::frechet_interval(small, reference).high == i.high);
  // Without the shift the interval lies higher: resampled sets are further away on average.
  const auto raw = metrics::frechet_interval(small, reference, {.resamples = 200});
  CHECK(raw.estimate == i.estimate);
  CHECK(raw.low > i.low);
}

TEST_CASE("bad features are errors") {
  CHECK_THROWS_AS(metrics::frechet_distance(Tensor<float>::ones(Shape{4, 2}), Tensor<float>::ones(Shape{4, 3})),
                  ShapeError);
  CHECK_THROWS_AS(metrics::moments_of(Tensor<float>::ones(Shape{4})), ShapeError);
  CHECK_THROWS_AS(metrics::frechet_distance(Tensor<float>::ones(Shape{1, 2}), Tensor<float>::ones(Shape{4, 2})),
                  NumericError);
  auto x = Tensor<float>::ones(Shape{4, 2});
  x[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(metrics::moments_of(x), doctest::Contains("sample 2"), NumericError);
}
