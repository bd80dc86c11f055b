// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/math.hpp>
//
#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;

namespace {

/// Distance to the exact value in units of its last place.
double ulp(float got, double exact) {
  const auto near = static_cast<float>(exact);
  const double unit = static_cast<double>(std::nextafter(std::abs(near), 1e38F)) - std::abs(near);
  return std::abs(static_cast<double>(got) - exact) / unit;
}

}  // namespace

TEST_CASE("exp keeps its promise") {
  double worst = 0;
  for (float x = -87.0F; x <= 88.0F; x += 0.00731F)
    worst = std::max(worst, ulp(math::exp(x), std::exp(static_cast<double>(x))));
  CHECK(worst <= 2.0);
  CHECK(math::exp(0.0F) == 1.0F);
  CHECK(math::exp(-1e30F) == math::exp(-87.0F));
  CHECK(std::isfinite(math::exp(1e30F)));
  CHECK(math::exp(0.3) == std::exp(0.3));
}

TEST_CASE("log keeps its promise") {
  double worst = 0;
  for (float x = 1e-37F; x < 1e37F; x *= 1.0013F)
    worst = std::max(worst, ulp(math::log(x), std::log(static_cast<double>(x))));
  for (float x = 0.5F; x < 2.0F; x += 1e-4F)
    if (x != 1.0F) worst = std::max(worst, ulp(math::log(x), std::log(static_cast<double>(x))));
  CHECK(worst <= 2.0);
  CHECK(math::log(1.0F) == 0.0F);
}

TEST_CASE("tanh, erf and sigmoid keep their promises") {
  for (float x = -12.0F; x <= 12.0F; x += 0.0037F) {
    const auto d = static_cast<double>(x);
    REQUIRE(std::abs(static_cast<double>(math::tanh(x)) - std::tanh(d)) <= 3e-7);
    REQUIRE(std::abs(static_cast<double>(math::erf(x)) - std::erf(d)) <= 6e-7);
    REQUIRE(std::abs(static_cast<double>(math::sigmoid(x)) - 1 / (1 + std::exp(-d))) <= 2e-7);
  }
  CHECK(math::tanh(100.0F) == 1.0F);
  CHECK(math::erf(-100.0F) == -1.0F);
  CHECK(math::sigmoid(-100.0F) >= 0.0F);
  CHECK(math::sigmoid(100.0F) == 1.0F);
}

TEST_CASE("Box and Muller's pair against the standard library") {
  const Stream s = stream(1, "pairs");
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const std::uint32_t a = bits_at(s, 2 * i), b = bits_at(s, 2 * i + 1);
    float x = 0, y = 0;
    math::box_muller(a, b, x, y);
    const auto u = static_cast<float>((static_cast<double>(a >> 8U) + 0.5) / 16777216);  // rounded near 1
    const double radius = std::sqrt(-2 * std::log(static_cast<double>(u)));
    const double angle = 0.7853981633974483 * static_cast<double>(static_cast<std::int32_t>(b << 2U)) / 2147483648.0;
    const double sine = std::sin(angle), cosine = (b >> 31U) != 0 ? -std::cos(angle) : std::cos(angle);
    const bool swap = ((b >> 30U) & 1U) != 0;
    REQUIRE(std::abs(static_cast<double>(x) - radius * (swap ? sine : cosine)) <= 1e-6);
    REQUIRE(std::abs(static_cast<double>(y) - radius * (swap ? cosine : sine)) <= 1e-6);
  }
}

TEST_CASE("Box and Muller stay finite at both ends") {
  for (const std::uint32_t a : {0U, 255U, 256U, 0xffffffffU})
    for (const std::uint32_t b : {0U, 0x80000000U, 0xffffffffU}) {
      float x = 0, y = 0;
      math::box_muller(a, b, x, y);
      CHECK(std::hypot(x, y) <= 5.9);
    }
}
