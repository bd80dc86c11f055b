// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <hypersd/core/config.hpp>
#include <hypersd/core/half.hpp>
#include <hypersd/core/philox.hpp>

/// \file
/// Branch-free scalar functions that compilers vectorise and that give the same float on CPU and GPU (every rounding
/// is spelt out as an fma). Ranges and errors stand at each function; the double overloads call the standard library.

namespace hypersd::math {

HYPERSD_HD inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// e^x to 2 ulp for x in [-87, 88]; clamped to that range outside.
HYPERSD_HD inline float exp(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  const float n = fma(x, 1.44269504F, 12582912.0F) - 12582912.0F;  // round to nearest integer by magic number
  float r = fma(n, -0.693359375F, x);
  r = fma(n, 2.12194440e-4F, r);
  float p = 1.9875691500e-4F;
  p = fma(p, r, 1.3981999507e-3F);
  p = fma(p, r, 8.3334519073e-3F);
  p = fma(p, r, 4.1665795894e-2F);
  p = fma(p, r, 1.6666665459e-1F);
  p = fma(p, r, 5.0000001201e-1F);
  p = fma(p, r * r, r + 1.0F);
  const auto scale = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23U;
  return p * detail::bits_float(scale);
}
HYPERSD_HD inline double exp(double x) { return std::exp(x); }

/// ln x to 2 ulp for normal x > 0.
HYPERSD_HD inline float log(float x) {
  const std::uint32_t bits = detail::float_bits(x);
  // Shift the mantissa to [sqrt(1/2), sqrt(2)) so that the polynomial works near 1.
  const std::int32_t e = static_cast<std::int32_t>(bits - 0x3f3504f3U) >> 23;
  const float m = detail::bits_float(bits - (static_cast<std::uint32_t>(e) << 23U)) - 1.0F;
  const float z = m * m;
  float p = 7.0376836292e-2F;
  p = fma(p, m, -1.1514610310e-1F);
  p = fma(p, m, 1.1676998740e-1F);
  p = fma(p, m, -1.2420140846e-1F);
  p = fma(p, m, 1.4249322787e-1F);
  p = fma(p, m, -1.6668057665e-1F);
  p = fma(p, m, 2.0000714765e-1F);
  p = fma(p, m, -2.4999993993e-1F);
  p = fma(p, m, 3.3333331174e-1F);
  float y = p * m * z;
  const auto n = static_cast<float>(e);
  y = fma(n, -2.12194440e-4F, y);
  y = fma(z, -0.5F, y);
  return fma(n, 0.693359375F, m + y);
}
HYPERSD_HD inline double log(double x) { return std::log(x); }

/// 1 / (1 + e^-x).
template <class T>
HYPERSD_HD inline T sigmoid(T x) {
  return T(1) / (T(1) + math::exp(-x));
}

/// tanh x to 3e-7 absolute.
HYPERSD_HD inline float tanh(float x) {
  return 1.0F - 2.0F / (math::exp(2.0F * x) + 1.0F);
}
HYPERSD_HD inline double tanh(double x) { return std::tanh(x); }

/// erf x to 2e-7 absolute (Abramowitz and Stegun 7.1.26).
HYPERSD_HD inline float erf(float x) {
  const float a = __builtin_fabsf(x);
  const float t = 1.0F / fma(0.3275911F, a, 1.0F);
  float p = 1.061405429F;
  p = fma(p, t, -1.453152027F);
  p = fma(p, t, 1.421413741F);
  p = fma(p, t, -0.284496736F);
  p = fma(p, t, 0.254829592F);
  return __builtin_copysignf(1.0F - p * t * math::exp(-a * a), x);
}
HYPERSD_HD inline double erf(double x) { return std::erf(x); }

/// Square root, correctly rounded.
HYPERSD_HD inline float sqrt(float x) { return __builtin_sqrtf(x); }
HYPERSD_HD inline double sqrt(double x) { return __builtin_sqrt(x); }

/// sin(2 pi u) and cos(2 pi u) to 2 ulp of 1, for u in [0, 1).
HYPERSD_HD inline void sincos_turns(float u, float& s, float& c) {
  const float q = fma(u, 4.0F, 12582912.0F) - 12582912.0F;  // nearest quarter turn
  const float r = fma(q, -0.25F, u) * 6.28318530718F;       // in [-pi/4, pi/4]
  const float z = r * r;
  float ps = -1.9515295891e-4F;
  ps = fma(ps, z, 8.3321608736e-3F);
  ps = fma(ps, z, -1.6666654611e-1F);
  const float sine = fma(ps * z, r, r);
  float pc = 2.443315711809948e-5F;
  pc = fma(pc, z, -1.388731625493765e-3F);
  pc = fma(pc, z, 4.166664568298827e-2F);
  const float cosine = fma(pc * z, z, fma(z, -0.5F, 1.0F));
  const auto k = static_cast<std::int32_t>(q);
  const float a = (k & 1) != 0 ? cosine : sine;
  const float b = (k & 1) != 0 ? sine : cosine;
  s = (k & 2) != 0 ? -a : a;
  c = ((k + 1) & 2) != 0 ? -b : b;
}

/// Two independent standard normals from two words of random bits (Box and Muller); |n| <= 5.9.
HYPERSD_HD inline void box_muller(std::uint32_t a, std::uint32_t b, float& n0, float& n1) {
  // Odd multiples of 2^-25, so never 0; the conversion goes through int32 because that is what vectorises.
  const float u = fma(static_cast<float>(static_cast<std::int32_t>(a >> 8U)), 0x1p-24F, 0x1p-25F);
  const float v = static_cast<float>(static_cast<std::int32_t>(b >> 8U)) * 0x1p-24F;
  const float radius = math::sqrt(-2.0F * math::log(u));
  float s = 0, c = 0;
  sincos_turns(v, s, c);
  n0 = radius * c;
  n1 = radius * s;
}

}  // namespace hypersd::math

namespace hypersd {

/// Standard normal of element `index` of stream `s`.
HYPERSD_HD inline float normal_at(Stream s, std::uint64_t index) {
  const Words4 v = philox_words(s, index);
  const bool upper = ((index >> 5U) & 1U) != 0;
  float n0 = 0, n1 = 0;
  math::box_muller(upper ? v.z : v.x, upper ? v.w : v.y, n0, n1);
  return ((index >> 4U) & 1U) != 0 ? n1 : n0;
}

/// The 64 standard normals of block `block` (elements 64 block ... 64 block + 63) of stream `s`, sixteen lanes at once.
inline void normal_block(Stream s, std::uint64_t block, float* out) {
  constexpr int lanes = 16;
  alignas(64) std::uint32_t x[lanes], y[lanes], z[lanes], w[lanes];
  const std::uint64_t base = block * lanes;  // a multiple of 16: adding a lane never carries into the upper word
  for (int l = 0; l < lanes; ++l) {
    x[l] = static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(l);
    y[l] = static_cast<std::uint32_t>(base >> 32U);
    z[l] = static_cast<std::uint32_t>(s.id);
    w[l] = static_cast<std::uint32_t>(s.id >> 32U);
  }
  auto key0 = static_cast<std::uint32_t>(s.seed);
  auto key1 = static_cast<std::uint32_t>(s.seed >> 32U);
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < lanes; ++l) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x[l];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * z[l];
      x[l] = static_cast<std::uint32_t>(p1 >> 32U) ^ y[l] ^ key0;
      z[l] = static_cast<std::uint32_t>(p0 >> 32U) ^ w[l] ^ key1;
      y[l] = static_cast<std::uint32_t>(p1);
      w[l] = static_cast<std::uint32_t>(p0);
    }
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  for (int l = 0; l < lanes; ++l) math::box_muller(x[l], y[l], out[l], out[lanes + l]);
  for (int l = 0; l < lanes; ++l) math::box_muller(z[l], w[l], out[2 * lanes + l], out[3 * lanes + l]);
}

}  // namespace hypersd
