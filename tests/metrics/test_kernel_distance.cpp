// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/kernel_distance.hpp>
//
#include <doctest/doctest.h>

#include <gaussian_features.hpp>

using namespace hypersd;
using gaussian_features::gaussian;

TEST_CASE("squared MMD of two samples each, by hand") {
  metrics::FeatureMatrix x(2, 1), y(2, 1);
  x << 0, 1;
  y << 0, 1;
  // Within a set k(0, 1) = 1; across, the four values are 1, 1, 1 and 8.
  CHECK(metrics::squared_mmd(x, y) == doctest::Approx(1 + 1 - 2 * 11.0 / 4));
}

TEST_CASE("kernel distance of Gaussians is the kernel's closed form") {
  // E k(x, y) = m3 n3 + 3 m2 n2 + 3 m1 n1 + 1 with raw moments: (0, 1, 0) of N(0, 1), (1, 2, 4) of N(1, 1).
  const double exact = (3 + 1) + (16 + 12 + 3 + 1) - 2 * (6 + 1);
  const auto x = gaussian(8000, {0}, {1}, "x"), y = gaussian(8000, {1}, {1}, "y"), z = gaussian(8000, {0}, {1}, "z");
  const auto shifted = metrics::kernel_distance(x, y), equal = metrics::kernel_distance(x, z);
  CHECK(shifted.standard_error < 0.1 * exact);
  CHECK(std::abs(shifted.value - exact) < 3 * shifted.standard_error);
  CHECK(std::abs(equal.value) < 3 * equal.standard_error);
  CHECK(equal.standard_error < 0.1);
}

TEST_CASE("kernel distance is unbiased: small blocks give no other mean") {
  const auto x = gaussian(8000, {0}, {1}, "x"), y = gaussian(8000, {0.3}, {1}, "y");
  const auto small = metrics::kernel_distance(x, y, {.block = 10}), large = metrics::kernel_distance(x, y);
  CHECK(std::abs(small.value - large.value) < 3 * (small.standard_error + large.standard_error));
  // A biased estimate keeps the diagonal: 2 (E k(x, x) - E k(x, x')) / 10, above 2 here.
  CHECK(small.value < 1.5);
}

TEST_CASE("kernel distance refuses what it cannot measure") {
  const auto x = gaussian(8, {0, 0}, {1, 1}, "x");
  CHECK_THROWS_WITH_AS(metrics::kernel_distance(x, gaussian(8, {0}, {1}, "y")), doctest::Contains("[4, 2] and [4, 1]"),
                       ShapeError);
  CHECK_THROWS_AS(metrics::kernel_distance(x, x.slice(0, 3)), NumericError);
  CHECK_THROWS_WITH_AS(metrics::kernel_distance(x, x, {.block = 1}), doctest::Contains("block = 1"), OptionError);
}
