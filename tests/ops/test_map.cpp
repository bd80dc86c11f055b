// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/map.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/ops/functors.hpp>
#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

struct Fma {
  template <class T>
  HYPERSD_HD T operator()(T x, T a, T b) const {
    return a * x + b;
  }
};

}  // namespace

TEST_CASE("map reads operands of the full shape") {
  const auto x = normal({3, 40001}, "x"), y = normal({3, 40001}, "y");
  const auto z = ops::map(ops::Add{}, x, y);
  for (std::int64_t i = 0; i < z.size(); ++i) REQUIRE(z[i] == x[i] + y[i]);
  ops::map_into(x, ops::Sub{}, z, y);  // in place over neither operand, then over one
  ops::map_into(z, ops::Mul{}, z, z);
  CHECK(z[5] == doctest::Approx((x[5] + y[5]) * (x[5] + y[5])));
}

TEST_CASE("One value a sample, a channel, a sample and channel, or everywhere") {
  const Shape shape{3, 4, 5, 7};
  const auto x = normal(shape, "x"), sample = normal({3}, "s"), channel = normal({7}, "c"), both = normal({3, 7}, "b"),
             one = normal({1}, "o");
  auto at = [&](std::int64_t i) { return std::pair(i / 140, i % 7); };
  const auto per_sample = ops::map(ops::Mul{}, x, ops::per_sample(sample));
  const auto per_channel = ops::map(ops::Mul{}, x, ops::per_channel(channel));
  const auto per_both = ops::map(ops::Mul{}, x, ops::per_channel(both));
  const auto mixed = ops::map(Fma{}, x, ops::per_sample(sample), ops::per_channel(both));
  const auto single = ops::map(Fma{}, x, ops::everywhere(one), ops::per_sample(sample));
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const auto [b, c] = at(i);
    REQUIRE(per_sample[i] == x[i] * sample[b]);
    REQUIRE(per_channel[i] == x[i] * channel[c]);
    REQUIRE(per_both[i] == x[i] * both[b * 7 + c]);
    REQUIRE(mixed[i] == doctest::Approx(sample[b] * x[i] + both[b * 7 + c]));
    REQUIRE(single[i] == doctest::Approx(one[0] * x[i] + sample[b]));
  }
}

TEST_CASE("The result type is the functor's") {
  const auto x = Tensor<float>::from({2}, {1.7F, -3.2F});
  const auto truncate = [](float v) { return static_cast<std::int32_t>(v); };
  CHECK(ops::map(truncate, x).to_vector() == std::vector<std::int32_t>{1, -3});
}

TEST_CASE("map is the same for any number of threads, and empty tensors are fine") {
  const auto x = normal<float>({64, 1000}, "x"), c = normal<float>({1000}, "c");
  CHECK(numbers::same_for_any_threads(
      [&] { return ops::map(ops::Mul{}, ops::map(ops::Gelu{}, x), ops::per_channel(c)); }));
  CHECK(ops::map(ops::Silu{}, Tensor<float>(Shape{0, 3})).shape() == Shape{0, 3});
  CHECK(ops::map(ops::Add{}, Tensor<float>(Shape{0, 3}), ops::per_channel(Tensor<float>(Shape{3}))).size() == 0);
}

TEST_CASE("Operands that do not match are named with both shapes") {
  const auto x = normal({2, 3}, "x");
  CHECK_THROWS_WITH_AS(ops::map(ops::Add{}, x, normal({3, 2}, "y")), "map: shapes [3, 2] and [2, 3] differ",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::map(ops::Add{}, x, ops::per_sample(normal({3}, "y"))),
                       "map: per-sample operand of shape [3] over a result of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::map(ops::Add{}, x, ops::per_channel(normal({2}, "y"))),
                       "map: per-channel operand of shape [2] over a result of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::map(ops::Add{}, x, ops::everywhere(normal({2}, "y"))), "map: single operand of shape [2]",
                       ShapeError);
}
