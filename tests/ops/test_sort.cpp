// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/sort.hpp>
//
#include <doctest/doctest.h>
#include <cmath>
#include <limits>
#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;
using Indices = std::vector<std::int32_t>;

TEST_CASE("Rows are sorted apart, and equal elements keep their order") {
  const auto x = Tensor<float>::from({2, 5}, {2, 1, 3, 1, 2, -1, 0, -0.0F, 5, -1});
  const auto down = ops::sort(x), up = ops::sort(x, ops::Order::ascending);
  CHECK(down.values.to_vector() == std::vector<float>{3, 2, 2, 1, 1, 5, 0, -0.0F, -1, -1});
  CHECK(down.indices.to_vector() == Indices{2, 0, 4, 1, 3, 3, 1, 2, 0, 4});
  CHECK(up.indices.to_vector() == Indices{1, 3, 0, 4, 2, 0, 4, 1, 2, 3});
}

TEST_CASE("Every element type is sorted; 16-bit values stay what they are") {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    const auto sorted = ops::sort(Tensor<T>::from({4}, {T(1), T(7), T(3), T(7)}));
    CHECK(sorted.indices.to_vector() == Indices{1, 3, 2, 0});
    CHECK(static_cast<float>(sorted.values[0]) == 7);
    CHECK(static_cast<float>(sorted.values[3]) == 1);
  };
  check(0.0F);
  check(0.0);
  check(std::int32_t{0});
  check(std::int64_t{0});
  check(std::uint8_t{0});
  check(bfloat16(0.0F));
  check(half(0.0F));
}

TEST_CASE("NaN is larger than any number") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const auto x = Tensor<float>::from({5}, {1, nan, infinity, nan, -infinity});
  CHECK(ops::sort(x).indices.to_vector() == Indices{1, 3, 2, 0, 4});
  CHECK(ops::sort(x, ops::Order::ascending).indices.to_vector() == Indices{4, 0, 2, 1, 3});
  CHECK(ops::top_k(x, 2).indices.to_vector() == Indices{1, 3});
}

TEST_CASE("The largest k are the first k of the sorted ones, ties included") {
  auto x = normal<float>({7, 300}, "x");
  for (float& v : x.span()) v = std::round(4 * v);
  const auto sorted = ops::sort(x);
  for (const std::int64_t k : {0, 1, 17, 300}) {
    const auto top = ops::top_k(x, k);
    REQUIRE(top.values.shape() == Shape{7, k});
    for (std::int64_t r = 0; r < 7; ++r)
      for (std::int64_t i = 0; i < k; ++i) {
        REQUIRE(top.values[r * k + i] == sorted.values[r * 300 + i]);
        REQUIRE(top.indices[r * k + i] == sorted.indices[r * 300 + i]);
      }
  }
  CHECK(numbers::same_for_any_threads([&] { return ops::sort(x).values; }));
}

TEST_CASE("Empty tensors, scalars and k out of range") {
  CHECK(ops::sort(Tensor<float>(Shape{0, 3})).values.shape() == Shape{0, 3});
  CHECK(ops::sort(Tensor<float>(Shape{3, 0})).indices.shape() == Shape{3, 0});
  CHECK(ops::top_k(Tensor<float>(Shape{0}), 0).values.size() == 0);
  CHECK_THROWS_WITH_AS(ops::sort(Tensor<float>(Shape{})), "sort of a scalar", ShapeError);
  CHECK_THROWS_WITH_AS(ops::top_k(Tensor<float>(Shape{2, 3}), 4), "top_k: 4 of the last axis of shape [2, 3]",
                       ShapeError);
}
