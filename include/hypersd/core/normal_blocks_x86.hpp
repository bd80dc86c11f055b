// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/normal_blocks_generic.hpp>
#if defined(__x86_64__) && !HYPERSD_HAS_CUDA
#include <immintrin.h>
#endif

/// \file
/// `normal_blocks` for x86-64. Each function names its instruction set, independent of the flags of the translation
/// unit; callers check `has_avx512` first. Empty on other processors and under nvcc, which does not support the vector
/// types.

#if defined(__x86_64__) && !HYPERSD_HAS_CUDA

namespace hypersd::detail {

inline bool has_avx512() {
#if defined(__AVX512F__)
  return true;
#else
  return __builtin_cpu_supports("avx512f") != 0;
#endif
}
inline bool has_avx2() {
#if defined(__AVX2__) && defined(__FMA__)
  return true;
#else
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
#endif
}

/// The portable loops, compiled for AVX2.
__attribute__((target("avx2,fma"), flatten)) inline void normal_blocks_avx2(Stream s, std::uint64_t block,
                                                                            std::int64_t count, float* out) {
  normal_blocks_generic(s, block, count, out);
}

// Zero-masking intrinsics with full masks: inside the plain ones GCC warns about an uninitialised operand.
inline constexpr unsigned short all16 = 0xffff;
inline constexpr unsigned char all8 = 0xff;

/// One word of sixteen counters: two registers of eight 64-bit lanes, whose upper halves are undefined.
struct WordPair {
  __m512i low, high;
};
/// The four words of sixteen counters.
struct WordLanes {
  __m512i x, y, z, w;
};

__attribute__((target("avx512f"), always_inline)) inline __m512i spread(std::uint32_t v) {
  return _mm512_set1_epi64(static_cast<long long>(v));
}
/// Products of the lower halves.
__attribute__((target("avx512f"), always_inline)) inline WordPair multiply(WordPair a, __m512i m) {
  return {_mm512_maskz_mul_epu32(all8, a.low, m), _mm512_maskz_mul_epu32(all8, a.high, m)};
}
/// Upper half of `product` ^ word ^ key.
__attribute__((target("avx512f"), always_inline)) inline WordPair mix(WordPair product, WordPair word, __m512i key) {
  return {_mm512_ternarylogic_epi64(_mm512_maskz_srli_epi64(all8, product.low, 32), word.low, key, 0x96),
          _mm512_ternarylogic_epi64(_mm512_maskz_srli_epi64(all8, product.high, 32), word.high, key, 0x96)};
}
/// The lower halves of sixteen lanes, in order.
__attribute__((target("avx512f"), always_inline)) inline __m512i pack(WordPair a) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return _mm512_permutex2var_epi32(a.low, even, a.high);
}

/// Philox of the counters of block `block`. Only word x differs between the lanes, so half of the first two rounds is
/// scalar work.
__attribute__((target("avx512f"), always_inline)) inline WordLanes philox_lanes(Stream s, std::uint64_t block) {
  constexpr std::uint32_t m0 = 0xD2511F53U, m1 = 0xCD9E8D57U, step0 = 0x9E3779B9U, step1 = 0xBB67AE85U;
  const std::uint64_t base = block * 16;
  const __m512i multiplier0 = spread(m0), multiplier1 = spread(m1);
  auto key0 = static_cast<std::uint32_t>(s.seed);
  auto key1 = static_cast<std::uint32_t>(s.seed >> 32U);
  const __m512i first =
      _mm512_add_epi64(spread(static_cast<std::uint32_t>(base)), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
  WordPair x{first, _mm512_add_epi64(first, spread(8))}, y{}, z{}, w{};

  const std::uint64_t same1 = std::uint64_t{m1} * static_cast<std::uint32_t>(s.id);
  const std::uint32_t same_x =
      static_cast<std::uint32_t>(same1 >> 32U) ^ static_cast<std::uint32_t>(base >> 32U) ^ key0;
  const __m512i id = spread(static_cast<std::uint32_t>(s.id >> 32U));
  w = multiply(x, multiplier0);
  z = mix(w, {id, id}, spread(key1));

  key0 += step0;
  key1 += step1;
  const std::uint64_t same0 = std::uint64_t{m0} * same_x;
  const __m512i same_y = spread(static_cast<std::uint32_t>(same1)),
                high0 = spread(static_cast<std::uint32_t>(same0 >> 32U) ^ key1);
  y = multiply(z, multiplier1);
  x = mix(y, {same_y, same_y}, spread(key0));
  z = {_mm512_xor_si512(w.low, high0), _mm512_xor_si512(w.high, high0)};
  const __m512i low0 = spread(static_cast<std::uint32_t>(same0));
  w = {low0, low0};

#pragma GCC unroll 8
  for (int round = 2; round < 10; ++round) {
    key0 += step0;
    key1 += step1;
    const WordPair p0 = multiply(x, multiplier0), p1 = multiply(z, multiplier1);
    x = mix(p1, y, spread(key0));
    z = mix(p0, w, spread(key1));
    y = p1;
    w = p0;
  }
  return {pack(x), pack(y), pack(z), pack(w)};
}

__attribute__((target("avx512f"), always_inline)) inline __m512 to_float(__m512i v) {
  return _mm512_maskz_cvtepi32_ps(all16, v);
}

/// `math::box_muller` on sixteen lanes.
__attribute__((target("avx512f"), always_inline)) inline void box_muller_lanes(__m512i a, __m512i b, float* out0,
                                                                               float* out1) {
  using K = math::detail::BoxMuller;
  const __m512 u = _mm512_fmadd_ps(to_float(_mm512_maskz_srli_epi32(all16, a, 8)), _mm512_set1_ps(0x1p-24F),
                                   _mm512_set1_ps(0x1p-25F));
  const __m512i bits = _mm512_castps_si512(u);
  const __m512i e =
      _mm512_maskz_srai_epi32(all16, _mm512_sub_epi32(bits, _mm512_set1_epi32(static_cast<int>(K::log_split))), 23);
  const __m512 m = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_maskz_slli_epi32(all16, e, 23))),
                                 _mm512_set1_ps(1.0F));
  __m512 p = _mm512_set1_ps(K::log(0));
#pragma GCC unroll 7
  for (int k = 1; k < 8; ++k) p = _mm512_fmadd_ps(p, m, _mm512_set1_ps(K::log(k)));
  const __m512 exponent = _mm512_mul_ps(to_float(e), _mm512_set1_ps(K::minus_two_ln2));
  const __m512 radius = _mm512_maskz_sqrt_ps(all16, _mm512_fmadd_ps(m, p, exponent));

  const __m512 r = _mm512_mul_ps(to_float(_mm512_maskz_slli_epi32(all16, b, 2)), _mm512_set1_ps(K::turn));
  const __m512 z = _mm512_mul_ps(r, r);
  __m512 s = _mm512_fmadd_ps(_mm512_set1_ps(K::sine(0)), z, _mm512_set1_ps(K::sine(1)));
  s = _mm512_fmadd_ps(s, z, _mm512_set1_ps(K::sine(2)));
  s = _mm512_fmadd_ps(_mm512_mul_ps(s, z), r, r);
  __m512 c = _mm512_fmadd_ps(_mm512_set1_ps(K::cosine(0)), z, _mm512_set1_ps(K::cosine(1)));
  c = _mm512_fmadd_ps(c, z, _mm512_set1_ps(K::cosine(2)));
  c = _mm512_fmadd_ps(c, z, _mm512_set1_ps(1.0F));
  c = _mm512_castsi512_ps(_mm512_ternarylogic_epi32(
      _mm512_castps_si512(c), b, _mm512_set1_epi32(static_cast<int>(K::sign)), 0x78));  // c ^ (b & sign)
  const __mmask16 swap = _mm512_test_epi32_mask(b, _mm512_set1_epi32(static_cast<int>(K::swap)));
  _mm512_storeu_ps(out0, _mm512_mul_ps(radius, _mm512_mask_blend_ps(swap, c, s)));
  _mm512_storeu_ps(out1, _mm512_mul_ps(radius, _mm512_mask_blend_ps(swap, s, c)));
}

/// Philox of the next block overlaps with Box and Muller of this one: the two are independent.
__attribute__((target("avx512f"))) inline void normal_blocks_avx512(Stream s, std::uint64_t block, std::int64_t count,
                                                                    float* out) {
  if (count <= 0) return;
  WordLanes now = philox_lanes(s, block);
  for (std::int64_t i = 0; i < count; ++i, out += 64) {
    const WordLanes next = philox_lanes(s, ++block);
    box_muller_lanes(now.x, now.y, out, out + 16);
    box_muller_lanes(now.z, now.w, out + 32, out + 48);
    now = next;
  }
}

}  // namespace hypersd::detail

#endif
