// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/cast.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;

TEST_CASE("The same type shares storage") {
  const auto x = numbers::normal<float>({3, 2}, "x");
  CHECK(ops::cast<float>(x).data() == x.data());
  CHECK(ops::cast<double>(x).shape() == x.shape());
}

TEST_CASE("Floats become integers by truncation and doubles by the nearest float") {
  const auto x = Tensor<double>::from({5}, {2.9, -2.9, 0.1, 16777217, 1e-50});
  CHECK(ops::cast<std::int32_t>(x).to_vector() == std::vector<std::int32_t>{2, -2, 0, 16777217, 0});
  CHECK(ops::cast<float>(x).to_vector() == std::vector<float>{2.9F, -2.9F, 0.1F, 16777216.0F, 0.0F});
  CHECK(ops::cast<double>(Tensor<std::int32_t>::from({2}, {-7, 2147483647})).to_vector() ==
        std::vector<double>{-7, 2147483647});
  CHECK(ops::cast<float>(Tensor<std::uint8_t>::from({2}, {0, 255})).to_vector() == std::vector<float>{0, 255});
}

TEST_CASE("16-bit types round ties to even") {
  // bfloat16 holds 8 digits of the mantissa: 1 + k / 128.
  const auto b = ops::cast<float>(ops::cast<bfloat16>(
      Tensor<float>::from({6}, {1.00390625F, 1.01171875F, 1.00390637F, -1.00390625F, 3.0F, 1e-40F})));
  CHECK(b.to_vector() == std::vector<float>{1.0F, 1.015625F, 1.0078125F, -1.0F, 3.0F, std::ldexp(1.0F, -133)});
  // half holds 11: 1 + k / 1024.
  const auto h = ops::cast<float>(ops::cast<half>(
      Tensor<float>::from({6}, {1.00048828125F, 1.00146484375F, 65519.0F, 65520.0F, 5.9604645e-8F, 2.98e-8F})));
  CHECK(h.to_vector() ==
        std::vector<float>{1.0F, 1.001953125F, 65504.0F, std::numeric_limits<float>::infinity(), 5.9604645e-8F, 0.0F});
}

TEST_CASE("Every 16-bit number survives the way to float and back") {
  const Tensor<half> h(Shape{65536});
  const Tensor<bfloat16> b(Shape{65536});
  for (std::int64_t i = 0; i < 65536; ++i) h[i].bits = b[i].bits = static_cast<std::uint16_t>(i);
  const auto wide = ops::cast<float>(h), wide_b = ops::cast<float>(b);
  const auto back = ops::cast<half>(wide);
  const auto back_b = ops::cast<bfloat16>(wide_b);
  for (std::int64_t i = 0; i < 65536; ++i) {
    if (!std::isnan(wide[i])) REQUIRE(back[i].bits == h[i].bits);
    if (!std::isnan(wide_b[i])) REQUIRE(back_b[i].bits == b[i].bits);
    REQUIRE(std::isnan(static_cast<float>(back[i])) == std::isnan(wide[i]));
    REQUIRE(std::isnan(static_cast<float>(back_b[i])) == std::isnan(wide_b[i]));
  }
}

TEST_CASE("Casts of nothing and of much") {
  CHECK(ops::cast<half>(Tensor<float>(Shape{0, 3})).shape() == Shape{0, 3});
  const auto x = numbers::normal<double>({200'000}, "x");
  const auto y = ops::cast<float>(x);
  CHECK(y.to_vector() == x.cast<float>().to_vector());
  CHECK(numbers::same_for_any_threads([&] { return ops::cast<std::int32_t>(x); }));
}
