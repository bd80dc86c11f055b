// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/trajectory.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd;

TEST_CASE("trajectory error is the mean squared difference, per sample and in all") {
  const auto student = Tensor<float>::from(Shape{2, 2, 1}, {1, 2, 3, 4});
  const auto teacher = Tensor<float>::from(Shape{2, 2, 1}, {1, 4, 3, 3});
  const auto error = metrics::trajectory_error(student, teacher);
  CHECK(error.per_sample == std::vector<double>{2.0, 0.5});
  CHECK(error.mean() == doctest::Approx(1.25));
  CHECK(error.interval().low == 0.5);
  CHECK(error.interval().high == 2.0);
  CHECK(metrics::trajectory_error(student, student).mean() == 0);
}

TEST_CASE("end points of different shapes throw and name both shapes") {
  CHECK_THROWS_WITH_AS(metrics::trajectory_error(Tensor<float>::ones(Shape{2, 3}), Tensor<float>::ones(Shape{3, 2})),
                       doctest::Contains("[2, 3]"), ShapeError);
}
