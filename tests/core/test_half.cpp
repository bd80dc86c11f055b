// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/half.hpp>
//
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace hypersd;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// IEEE binary16 by its definition.
double half_value(std::uint32_t bits) {
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  const int exponent = static_cast<int>((bits >> 10U) & 31U);
  const double mantissa = bits & 0x3ffU;
  return exponent == 0 ? sign * std::ldexp(mantissa, -24) : sign * std::ldexp(1024 + mantissa, exponent - 25);
}

}  // namespace

TEST_CASE("Every binary16 number has its exact value and survives the round trip") {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    half h;
    h.bits = static_cast<std::uint16_t>(bits);
    const auto x = static_cast<float>(h);
    if (((bits >> 10U) & 31U) == 31U) {
      if ((bits & 0x3ffU) == 0)
        REQUIRE(x == ((bits & 0x8000U) != 0 ? -infinity : infinity));
      else
        REQUIRE(std::isnan(x));
      continue;
    }
    REQUIRE(static_cast<double>(x) == half_value(bits));
    REQUIRE(half(x).bits == bits);
  }
}

TEST_CASE("Between two binary16 numbers the nearer one is taken, the even one when tied") {
  for (std::uint32_t bits = 0; bits < 0x7bffU; ++bits) {
    const double low = half_value(bits), high = half_value(bits + 1);
    const double middle = (low + high) / 2;  // 12 bits of mantissa: exact in float
    const auto tie = static_cast<float>(middle);
    REQUIRE(static_cast<double>(tie) == middle);
    REQUIRE(half(tie).bits == ((bits & 1U) == 0 ? bits : bits + 1));
    REQUIRE(half(std::nextafter(tie, 0.0F)).bits == bits);
    REQUIRE(half(std::nextafter(tie, infinity)).bits == bits + 1);
    REQUIRE(half(-tie).bits == (half(tie).bits | 0x8000U));
  }
}

TEST_CASE("binary16 limits") {
  CHECK(half(1.0F).bits == 0x3c00);
  CHECK(half(-2.0F).bits == 0xc000);
  CHECK(half(65504.0F).bits == 0x7bff);
  CHECK(half(65519.0F).bits == 0x7bff);
  CHECK(half(65520.0F).bits == 0x7c00);
  CHECK(half(1e30F).bits == 0x7c00);
  CHECK(half(-infinity).bits == 0xfc00);
  CHECK(half(0.333251953125F).bits == 0x3555);
  CHECK(half(std::ldexp(1.0F, -25)).bits == 0);
  CHECK(half(std::numeric_limits<float>::denorm_min()).bits == 0);
  CHECK(half(-0.0F).bits == 0x8000);
  CHECK(std::isnan(static_cast<float>(half(std::numeric_limits<float>::quiet_NaN()))));
}

TEST_CASE("Every bfloat16 number survives the round trip") {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    bfloat16 b;
    b.bits = static_cast<std::uint16_t>(bits);
    const auto x = static_cast<float>(b);
    REQUIRE(detail::float_bits(x) == bits << 16U);
    if (std::isnan(x))
      REQUIRE(std::isnan(static_cast<float>(bfloat16(x))));
    else
      REQUIRE(bfloat16(x).bits == bits);
  }
}

TEST_CASE("bfloat16 rounds to nearest even") {
  CHECK(bfloat16(1.0F).bits == 0x3f80);
  CHECK(bfloat16(detail::bits_float(0x3f808000U)).bits == 0x3f80);  // tie, even below
  CHECK(bfloat16(detail::bits_float(0x3f818000U)).bits == 0x3f82);  // tie, even above
  CHECK(bfloat16(detail::bits_float(0x3f808001U)).bits == 0x3f81);
  CHECK(bfloat16(detail::bits_float(0x3f807fffU)).bits == 0x3f80);
  CHECK(bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(bfloat16(-infinity).bits == 0xff80);
  CHECK(std::isnan(static_cast<float>(bfloat16(detail::bits_float(0x7f800001U)))));  // not turned into infinity
}
