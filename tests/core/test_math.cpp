// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/math.hpp>
//
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <utility>

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

TEST_CASE("Box and Muller keep their relative errors") {
  const auto relative = [](float got, double exact) {
    return exact == 0 ? std::abs(static_cast<double>(got)) : std::abs((static_cast<double>(got) - exact) / exact);
  };
  const auto exact_radius = [](std::uint32_t a) {
    const auto u = static_cast<float>((static_cast<double>(a >> 8U) + 0.5) / 16777216);
    return std::sqrt(-2 * std::log(static_cast<double>(u)));
  };
  const auto exact_angle = [](std::uint32_t b) {
    return 0.7853981633974483 * static_cast<double>(static_cast<std::int32_t>(b << 2U)) / 2147483648.0;
  };
  double radius = 0, turn = 0, pair = 0;
  for (std::uint32_t k = 0; k < 1U << 24U; k += 13) {
    const float got = math::detail::box_muller_radius(math::detail::box_muller_square(k << 8U));
    radius = std::max(radius, relative(got, exact_radius(k << 8U)));
  }
  for (std::uint32_t b = 0; b < 1U << 30U; b += 1009) {  // neither mirrored nor swapped
    float x = 0, y = 0;
    math::detail::box_muller_turn(1.0F, b, x, y);
    turn = std::max({turn, relative(x, std::cos(exact_angle(b))), relative(y, std::sin(exact_angle(b)))});
  }
  const Stream s = stream(2, "pairs");
  const auto check = [&](std::uint32_t a, std::uint32_t b) {
    float x = 0, y = 0;
    math::box_muller(a, b, x, y);
    if (((b >> 30U) & 1U) != 0) std::swap(x, y);
    const double cosine = (b >> 31U) != 0 ? -std::cos(exact_angle(b)) : std::cos(exact_angle(b));
    pair = std::max(
        {pair, relative(x, exact_radius(a) * cosine), relative(y, exact_radius(a) * std::sin(exact_angle(b)))});
  };
  for (std::uint64_t i = 0; i < 200'000; ++i) check(bits_at(s, 2 * i), bits_at(s, 2 * i + 1));
  check(3909422810U, 1096175999U);  // the worst of 60 million random pairs: 3.46e-7
  CHECK(radius <= 1.8e-7);
  CHECK(turn <= 2e-7);
  CHECK(pair > 3.4e-7);
  CHECK(pair <= 4.5e-7);
}

TEST_CASE("Box and Muller stay finite at both ends") {
  for (const std::uint32_t a : {0U, 255U, 256U, 0xffffffffU})
    for (const std::uint32_t b : {0U, 0x80000000U, 0xffffffffU}) {
      float x = 0, y = 0;
      math::box_muller(a, b, x, y);
      CHECK(std::hypot(x, y) <= 5.9);
    }
}
