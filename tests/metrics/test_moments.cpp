// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/moments.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/ops/random.hpp>

using namespace hypersd;

TEST_CASE("moments computed by hand") {
  const auto m = metrics::moments_of(Tensor<float>::from(Shape{3, 2}, {1, 2, 3, 2, 5, 8}));
  CHECK(m.count() == 3);
  CHECK(m.mean()[0] == doctest::Approx(3));
  CHECK(m.mean()[1] == doctest::Approx(4));
  CHECK(m.covariance()(0, 0) == doctest::Approx(4));
  CHECK(m.covariance()(0, 1) == doctest::Approx(6));
  CHECK(m.covariance()(1, 1) == doctest::Approx(12));
}

TEST_CASE("batches give the moments of the whole, even far from 0") {
  auto x = ops::normal<double>(Shape{1000, 4}, stream(1, "x"));
  for (const double offset : {0.0, 1e6}) {
    auto y = x.clone();
    for (std::int64_t i = 0; i < y.size(); ++i) y[i] += offset;
    metrics::Moments parts(4);
    for (const auto& [begin, end] : {std::pair{0, 1}, std::pair{1, 400}, std::pair{400, 400}, std::pair{400, 1000}})
      parts.add(y.slice(begin, end));
    const auto whole = metrics::moments_of(x);
    CHECK((parts.covariance() - whole.covariance()).cwiseAbs().maxCoeff() < 1e-8);
    CHECK((parts.mean().array() - offset - whole.mean().array()).abs().maxCoeff() < 1e-8);
  }
}

TEST_CASE("one sample has no covariance, and sizes must agree") {
  metrics::Moments m(3);
  m.add(Tensor<float>::ones(Shape{1, 3}));
  CHECK_THROWS_AS((void)m.covariance(), NumericError);
  CHECK_THROWS_AS(m.add(Tensor<float>::ones(Shape{1, 2})), ShapeError);
}
