// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <hypersd/core/config.hpp>

namespace hypersd {

namespace detail {

HYPERSD_HD inline std::uint32_t float_bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
HYPERSD_HD inline float bits_float(std::uint32_t x) { return __builtin_bit_cast(float, x); }

}  // namespace detail

/// 16-bit storage with float32's exponent range. Values convert implicitly to float, in which arithmetic is done.
struct bfloat16 {
  std::uint16_t bits = 0;

  bfloat16() = default;
  /// Rounds to nearest, ties to even; NaN stays NaN.
  HYPERSD_HD explicit bfloat16(float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));  // same result, except for a NaN's payload
#else
    const std::uint32_t u = detail::float_bits(x);
    if ((u & 0x7fffffffU) > 0x7f800000U) {
      bits = static_cast<std::uint16_t>((u >> 16U) | 0x40U);
    } else {
      bits = static_cast<std::uint16_t>((u + 0x7fffU + ((u >> 16U) & 1U)) >> 16U);
    }
#endif
  }
  // NOLINTNEXTLINE(google-explicit-constructor): exact
  HYPERSD_HD operator float() const { return detail::bits_float(static_cast<std::uint32_t>(bits) << 16U); }
};

/// IEEE binary16 storage. Values convert implicitly to float, in which arithmetic is done.
struct half {
  std::uint16_t bits = 0;

  half() = default;
  /// Rounds to nearest, ties to even; overflow gives infinity, NaN stays NaN.
  HYPERSD_HD explicit half(float x) {
#if defined(__CUDA_ARCH__)
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));  // same result, except for a NaN's payload
#else
    const std::uint32_t u = detail::float_bits(x);
    const std::uint32_t sign = (u >> 16U) & 0x8000U;
    const std::uint32_t magnitude = u & 0x7fffffffU;
    std::uint32_t out = 0;
    if (magnitude > 0x7f800000U) {
      out = 0x7e00U;
    } else if (magnitude >= 0x477ff000U) {
      out = 0x7c00U;
    } else if (magnitude < 0x38800000U) {
      // Subnormal: adding 0.5 aligns the mantissa, so that the float addition rounds it.
      out = detail::float_bits(detail::bits_float(magnitude) + 0.5F) - 0x3f000000U;
    } else {
      out = (magnitude - 0x38000000U + 0xfffU + ((magnitude >> 13U) & 1U)) >> 13U;
    }
    bits = static_cast<std::uint16_t>(sign | out);
#endif
  }
  // NOLINTNEXTLINE(google-explicit-constructor): exact
  HYPERSD_HD operator float() const {
#if defined(__CUDA_ARCH__)
    float x = 0;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
    const std::uint32_t exponent = (bits >> 10U) & 0x1fU;
    const std::uint32_t mantissa = bits & 0x3ffU;
    if (exponent == 0) {
      const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8F;  // 2^-24
      return detail::bits_float(detail::float_bits(magnitude) | sign);
    }
    const std::uint32_t e = exponent == 31U ? 0xffU : exponent + 112U;
    return detail::bits_float(sign | (e << 23U) | (mantissa << 13U));
#endif
  }
};

}  // namespace hypersd
