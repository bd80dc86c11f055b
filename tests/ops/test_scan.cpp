// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/scan.hpp>
//
#include <doctest/doctest.h>
#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

TEST_CASE("Prefix sums of rows, with and without the element itself") {
  const auto x = Tensor<std::int32_t>::from({2, 4}, {1, 2, 3, 4, 5, 0, -5, 1});
  CHECK(ops::inclusive_sum(x).to_vector() == std::vector<std::int32_t>{1, 3, 6, 10, 5, 5, 0, 1});
  CHECK(ops::exclusive_sum(x).to_vector() == std::vector<std::int32_t>{0, 1, 3, 6, 0, 5, 5, 0});
  const auto big = Tensor<std::int64_t>::from({3}, {std::int64_t{1} << 40, 1, 1});
  CHECK(ops::inclusive_sum(big)[2] == (std::int64_t{1} << 40) + 2);
}

TEST_CASE("Floating-point prefix sums follow the definition; 16 bits are summed in float") {
  const auto x = normal({3, 50}, "x");
  const auto y = ops::inclusive_sum(x);
  for (std::int64_t r = 0; r < 3; ++r) {
    double sum = 0;
    for (std::int64_t c = 0; c < 50; ++c) {
      sum += x[r * 50 + c];
      CHECK(y[r * 50 + c] == doctest::Approx(sum).epsilon(1e-14));
    }
  }
  // 1000 ones: bfloat16 itself would stop at 256.
  const auto ones = Tensor<bfloat16>::ones({1000});
  CHECK(static_cast<float>(ops::inclusive_sum(ones)[999]) == 1000);
}

TEST_CASE("Empty tensors and scalars") {
  CHECK(ops::inclusive_sum(Tensor<float>(Shape{0, 3})).shape() == Shape{0, 3});
  CHECK(ops::exclusive_sum(Tensor<float>(Shape{3, 0})).shape() == Shape{3, 0});
  CHECK_THROWS_WITH_AS(ops::exclusive_sum(Tensor<float>(Shape{})), "exclusive_sum of a scalar", ShapeError);
}
