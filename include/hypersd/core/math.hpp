// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <hypersd/core/config.hpp>
#include <hypersd/core/half.hpp>
#include <hypersd/core/philox.hpp>

/// \file
/// Branch-free scalar functions that compilers vectorise. They give the same float on CPU and GPU: each fma is
/// explicit. Each function states its range and error; the double overloads call the standard library.

namespace hypersd::math {

/// a b + c with one rounding.
HYPERSD_HD inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

/// e^x to 2 ulp for x in [-87, 88]; clamped to that range outside.
HYPERSD_HD inline float exp(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  const float n = fma(x, 1.44269504F, 12582912.0F) - 12582912.0F;  // rounds to nearest: 12582912 = 1.5 2^23
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
/// e^x by the standard library.
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
/// ln x by the standard library.
HYPERSD_HD inline double log(double x) { return std::log(x); }

/// 1 / (1 + e^-x).
template <class T>
HYPERSD_HD inline T sigmoid(T x) {
  return T(1) / (T(1) + math::exp(-x));
}

/// tanh x to 3e-7 absolute.
HYPERSD_HD inline float tanh(float x) { return 1.0F - 2.0F / (math::exp(2.0F * x) + 1.0F); }
/// tanh x by the standard library.
HYPERSD_HD inline double tanh(double x) { return std::tanh(x); }

/// erf x to 6e-7 absolute (Abramowitz and Stegun 7.1.26).
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
/// erf x by the standard library.
HYPERSD_HD inline double erf(double x) { return std::erf(x); }

/// Square root, correctly rounded.
HYPERSD_HD inline float sqrt(float x) { return __builtin_sqrtf(x); }
/// Square root, correctly rounded.
HYPERSD_HD inline double sqrt(double x) { return __builtin_sqrt(x); }

namespace detail {

/// Minimax polynomials of Box and Muller's two factors, highest power first: -2 ln(1 + m) / m on the mantissa's range
/// [sqrt(1/2) - 1, sqrt(2) - 1] to 1.7e-7, (sin r / r - 1) / r^2 to 4e-9 and (cos r - 1) / r^2 to 3.3e-8 on a quarter
/// turn. Functions, because device code cannot read constexpr arrays. `log_split` is the bit pattern of sqrt(1/2),
/// `turn` scales a 32-bit fraction of a quarter turn to radians.
struct BoxMuller {
  HYPERSD_HD static constexpr float log(int i) {
    constexpr float c[] = {2.0213791634e-01F, -3.2445161942e-01F, 3.4501659643e-01F, -3.9800330823e-01F,
                           4.9939818098e-01F, -6.6670117894e-01F, 1.0000073025e+00F, -1.9999998906e+00F};
    return c[i];
  }
  static constexpr float minus_two_ln2 = -1.38629436112F;
  HYPERSD_HD static constexpr float sine(int i) {
    constexpr float c[] = {-1.9517298976e-04F, 8.3321781461e-03F, -1.6666654944e-01F};
    return c[i];
  }
  HYPERSD_HD static constexpr float cosine(int i) {
    constexpr float c[] = {-1.3597823107e-03F, 4.1656294578e-02F, -4.9999894781e-01F};
    return c[i];
  }
  static constexpr float turn = 3.65729520e-10F;  // pi / 4 / 2^31
  static constexpr std::uint32_t log_split = 0x3f3504f3U, sign = 0x80000000U, swap = 0x40000000U;
};

/// -2 ln u of the 24 high bits of `a` as u in (0, 1]: the square of the radius.
HYPERSD_HD inline float box_muller_square(std::uint32_t a) {
  using K = BoxMuller;
  // Odd multiples of 2^-25, so never 0; the conversion goes through int32 because that is what vectorises.
  const float u = fma(static_cast<float>(static_cast<std::int32_t>(a >> 8U)), 0x1p-24F, 0x1p-25F);
  const std::uint32_t bits = hypersd::detail::float_bits(u);
  const std::int32_t e = static_cast<std::int32_t>(bits - K::log_split) >> 23;
  const float m = hypersd::detail::bits_float(bits - (static_cast<std::uint32_t>(e) << 23U)) - 1.0F;
  float p = fma(K::log(0), m, K::log(1));
  p = fma(p, m, K::log(2));
  p = fma(p, m, K::log(3));
  p = fma(p, m, K::log(4));
  p = fma(p, m, K::log(5));
  p = fma(p, m, K::log(6));
  p = fma(p, m, K::log(7));
  return fma(m, p, static_cast<float>(e) * K::minus_two_ln2);
}

/// A uniformly random direction scaled by `radius`: 30 bits of `b` turn it within a quarter, one mirrors it, one swaps
/// the axes.
HYPERSD_HD inline void box_muller_turn(float radius, std::uint32_t b, float& n0, float& n1) {
  using K = BoxMuller;
  const float r = static_cast<float>(static_cast<std::int32_t>(b << 2U)) * K::turn;
  const float z = r * r;
  float s = fma(K::sine(0), z, K::sine(1));
  s = fma(s, z, K::sine(2));
  s = fma(s * z, r, r);
  float c = fma(K::cosine(0), z, K::cosine(1));
  c = fma(c, z, K::cosine(2));
  c = fma(c, z, 1.0F);
  c = hypersd::detail::bits_float(hypersd::detail::float_bits(c) ^ (b & K::sign));
  const bool swap = (b & K::swap) != 0;
  n0 = radius * (swap ? s : c);
  n1 = radius * (swap ? c : s);
}

/// Square root of a Box-Muller square, correctly rounded. The argument is 0 or far from overflow and underflow, so the
/// GPU needs no branch for those.
HYPERSD_HD inline float box_muller_radius(float square) {
#if defined(__CUDA_ARCH__)
  float inverse = 0;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(square));
  const float root = square * inverse;
  return square > 0.0F ? fma(fma(-root, root, square), 0.5F * inverse, root) : 0.0F;
#else
  return math::sqrt(square);
#endif
}

}  // namespace detail

/// Two independent standard normals from two words of random bits (Box and Muller); |n| <= 5.9. The relative error is
/// at most 4.5e-7: 1.8e-7 of the radius, 2e-7 of sine or cosine, and the rounding of their product.
HYPERSD_HD inline void box_muller(std::uint32_t a, std::uint32_t b, float& n0, float& n1) {
  detail::box_muller_turn(detail::box_muller_radius(detail::box_muller_square(a)), b, n0, n1);
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

}  // namespace hypersd
