// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/math.hpp>
#include <hypersd/ops/cpu/gemm_kernel.hpp>

/// \file
/// The inner loops of attention, compiled for each instruction set: sixteen
/// queries (or keys) fill the lanes of the vector registers, so for any head
/// size dot products, maxima and sums are computed within lanes. The arithmetic
/// of a lane does not depend on the width of the registers.

namespace hypersd::ops::backend {

/// Queries or keys in the lanes.
inline constexpr int attention_lanes = 16;

/// Sixteen elements in registers of `width`.
template <class T, int width>
struct LaneVectors {
  using V = typename Vector<T, width>::type;
  using Loose = typename Vector<T, width>::loose;
  static constexpr int parts = attention_lanes / width;
};

template <int tile, int width, class T>
__attribute__((always_inline)) inline void score_tile(const T* t, const T* rows, std::int64_t stride, std::int64_t dim,
                                                      T* s) {
  using L = LaneVectors<T, width>;
  typename L::V acc[tile * L::parts];
  unrolled<tile * L::parts>([&](auto i) __attribute__((always_inline)) { acc[i] = typename L::V{}; });
  for (std::int64_t d = 0; d < dim; ++d) {
    const auto* x = reinterpret_cast<const typename L::Loose*>(t + d * attention_lanes);
    typename L::V column[L::parts];
    unrolled<L::parts>([&](auto p) __attribute__((always_inline)) { column[p] = x[p]; });
    unrolled<tile * L::parts>([&](auto i) __attribute__((always_inline)) {
      acc[i] += rows[i / L::parts * stride + d] * column[i % L::parts];
    });
  }
  auto* y = reinterpret_cast<typename L::Loose*>(s);
  unrolled<tile * L::parts>([&](auto i) __attribute__((always_inline)) { y[i] = acc[i]; });
}

template <int tile, int width, class T>
__attribute__((always_inline)) inline void weighted_tile(const T* w, const T* rows, std::int64_t stride,
                                                         std::int64_t count, T* t) {
  using L = LaneVectors<T, width>;
  typename L::V acc[tile * L::parts];
  auto* y = reinterpret_cast<typename L::Loose*>(t);
  unrolled<tile * L::parts>([&](auto i) __attribute__((always_inline)) { acc[i] = y[i]; });
  for (std::int64_t j = 0; j < count; ++j, rows += stride) {
    const auto* x = reinterpret_cast<const typename L::Loose*>(w + j * attention_lanes);
    typename L::V weight[L::parts];
    unrolled<L::parts>([&](auto p) __attribute__((always_inline)) { weight[p] = x[p]; });
    unrolled<tile * L::parts>([&](auto i) __attribute__((always_inline)) {
      acc[i] += rows[i / L::parts] * weight[i % L::parts];
    });
  }
  unrolled<tile * L::parts>([&](auto i) __attribute__((always_inline)) { y[i] = acc[i]; });
}

/// Calls f(constant, first) for pieces of [0, n) of `tile`, 4, 2 and 1 rows.
template <int tile, class F>
__attribute__((always_inline)) inline void in_tiles(std::int64_t n, F&& f) {
  std::int64_t i = 0;
  for (; n - i >= tile && n - i != 8; i += tile) f(std::integral_constant<int, tile>{}, i);
  for (; n - i >= 4; i += 4) f(std::integral_constant<int, 4>{}, i);
  for (; n - i >= 2; i += 2) f(std::integral_constant<int, 2>{}, i);
  if (i < n) f(std::integral_constant<int, 1>{}, i);
}

template <class T, int width, int tile>
__attribute__((always_inline)) inline void score_loops(const T* t, const T* rows, std::int64_t stride,
                                                       std::int64_t count, std::int64_t dim, T* s) {
  in_tiles<tile>(
      count, [&](auto size, std::int64_t j) __attribute__((always_inline)) {
        score_tile<size, width>(t, rows + j * stride, stride, dim, s + j * attention_lanes);
      });
}
template <class T, int width, int tile>
__attribute__((always_inline)) inline void weighted_loops(const T* w, const T* rows, std::int64_t stride,
                                                          std::int64_t count, std::int64_t dim, T* t) {
  in_tiles<tile>(
      dim, [&](auto size, std::int64_t d) __attribute__((always_inline)) {
        weighted_tile<size, width>(w, rows + d, stride, count, t + d * attention_lanes);
      });
}

/// `math::exp` of the elements of a vector.
template <class T, class V>
__attribute__((always_inline)) inline void exp_of(V& x) {
  if constexpr (std::is_same_v<T, float>) {
    typedef std::uint32_t Bits __attribute__((vector_size(sizeof(V))));  // NOLINT(modernize-use-using)
    // Assigned, because nvcc crashes on constants of sixteen lanes.
    const auto splat = [](V & v, float value) __attribute__((always_inline)) { v = V{} + value; };
    constexpr float magic = 12582912.0F;  // 1.5 2^23: rounds to nearest
    V low, high;
    splat(low, -87.0F);
    splat(high, 88.0F);
    x = low > x ? low : x;
    x = high < x ? high : x;
    const V shifted = x * 1.44269504F + magic, n = shifted - magic;
    V r = n * -0.693359375F + x;
    r = n * 2.12194440e-4F + r;
    V p = r * 1.9875691500e-4F + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + (r + 1.0F);
    Bits bits;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23U) + (127U << 23U);  // the low bits of `shifted` are n
    V scale;
    __builtin_memcpy(&scale, &bits, sizeof scale);
    x = p * scale;
  } else {
    for (std::size_t l = 0; l < sizeof(V) / sizeof(T); ++l) x[l] = math::exp(x[l]);
  }
}

/// `math::exp` of `count` sixteens in place.
template <class T, int width>
__attribute__((always_inline)) inline void exp_loop(T* s, std::int64_t count) {
  auto* y = reinterpret_cast<typename LaneVectors<T, width>::Loose*>(s);
  for (std::int64_t i = 0; i < count * LaneVectors<T, width>::parts; ++i) {
    typename LaneVectors<T, width>::V x = y[i];
    exp_of<T>(x);
    y[i] = x;
  }
}

/// `softmax_step` takes scores in this unit, and its weights are powers of e to this unit: in float it is log2 e,
/// because powers of 2 take fewer instructions.
template <class T>
inline constexpr T attention_unit = std::is_same_v<T, float> ? T(1.44269504088896340736) : T(1);

/// The weights of scores x <= 0 in units of `attention_unit`; in float 2^x to 2 ulp for x >= -126, clamped below: a
/// minimax polynomial on [-1/2, 1/2], exact at 0, and an exponent. Stage by stage, so that instructions do not wait.
template <class T, int n, class V>
__attribute__((always_inline)) inline void weights_of(V (&x)[n]) {
  if constexpr (std::is_same_v<T, float>) {
    typedef std::uint32_t Bits __attribute__((vector_size(sizeof(V))));  // NOLINT(modernize-use-using)
    const auto splat = [](V & v, float value) __attribute__((always_inline)) { v = V{} + value; };
    constexpr float magic = 12582912.0F + 127.0F;  // 1.5 2^23, and the bias of an exponent
    V low;
    splat(low, -126.0F);
#if defined(__x86_64__) && !defined(__clang__) && !defined(__CUDACC__)
    asm("" : "+x"(low));  // else GCC compares and blends instead of taking the maximum
#endif
    V shifted[n], p[n];
    unrolled<n>([&](auto i) __attribute__((always_inline)) { x[i] = low > x[i] ? low : x[i]; });
    unrolled<n>([&](auto i) __attribute__((always_inline)) { shifted[i] = x[i] + magic; });
    unrolled<n>([&](auto i) __attribute__((always_inline)) { x[i] = x[i] - (shifted[i] - magic); });
    unrolled<n>([&](auto i)
                    __attribute__((always_inline)) { p[i] = x[i] * 1.326472731307149e-3F + 9.671512991189957e-3F; });
    unrolled<n>([&](auto i) __attribute__((always_inline)) { p[i] = p[i] * x[i] + 5.550733581185341e-2F; });
    unrolled<n>([&](auto i) __attribute__((always_inline)) { p[i] = p[i] * x[i] + 2.4022242426872253e-1F; });
    unrolled<n>([&](auto i) __attribute__((always_inline)) { p[i] = p[i] * x[i] + 6.931470036506653e-1F; });
    unrolled<n>([&](auto i) __attribute__((always_inline)) { p[i] = p[i] * x[i] + 1.0F; });
    unrolled<n>([&](auto i) __attribute__((always_inline)) {
      Bits bits;
      __builtin_memcpy(&bits, &shifted[i], sizeof bits);
      bits = bits << 23U;  // the low bits of `shifted` are the exponent
      V scale;
      __builtin_memcpy(&scale, &bits, sizeof scale);
      x[i] = p[i] * scale;
    });
  } else {
    for (V& one : x) exp_of<T>(one);
  }
}

/// See `AttentionKernel::softmax_step`.
template <class T, int width>
__attribute__((always_inline)) inline void softmax_step_loops(T* s, std::int64_t count, T* maximum, T* total, T* t,
                                                              std::int64_t dim) {
  using L = LaneVectors<T, width>;
  constexpr int parts = L::parts;
  typename L::V before[parts], top[parts], sum[parts];
  auto* scores = reinterpret_cast<typename L::Loose*>(s);
  auto* tops = reinterpret_cast<typename L::Loose*>(maximum);
  auto* totals = reinterpret_cast<typename L::Loose*>(total);
  auto* results = reinterpret_cast<typename L::Loose*>(t);
  unrolled<parts>([&](auto p) __attribute__((always_inline)) {
    before[p] = top[p] = tops[p];
    sum[p] = typename L::V{};
  });
  for (std::int64_t j = 0; j < count; ++j)
    unrolled<parts>([&](auto p) __attribute__((always_inline)) {
      const typename L::V x = scores[j * parts + p];
      top[p] = top[p] > x ? top[p] : x;
    });
  const auto weigh = [&](auto rows, std::int64_t j) __attribute__((always_inline)) {
    constexpr int n = rows * parts;
    typename L::V x[n];
    unrolled<n>([&](auto i) __attribute__((always_inline)) { x[i] = scores[j * parts + i] - top[i % parts]; });
    weights_of<T>(x);
    unrolled<n>([&](auto i) __attribute__((always_inline)) {
      scores[j * parts + i] = x[i];
      sum[i % parts] += x[i];
    });
  };
  constexpr int together = (4 + parts - 1) / parts;
  std::int64_t j = 0;
  for (; j + together <= count; j += together) weigh(std::integral_constant<int, together>{}, j);
  for (; j < count; ++j) weigh(std::integral_constant<int, 1>{}, j);
  // Most steps raise no maximum: then all factors are 1.
  if (__builtin_memcmp(before, top, sizeof top) == 0) {
    unrolled<parts>([&](auto p) __attribute__((always_inline)) { totals[p] += sum[p]; });
    return;
  }
  typename L::V rescale[parts];
  unrolled<parts>([&](auto p) __attribute__((always_inline)) { rescale[p] = before[p] - top[p]; });
  weights_of<T>(rescale);
  unrolled<parts>([&](auto p) __attribute__((always_inline)) {
    totals[p] = totals[p] * rescale[p] + sum[p];
    tops[p] = top[p];
  });
  for (std::int64_t d = 0; d < dim; ++d)
    unrolled<parts>([&](auto p) __attribute__((always_inline)) { results[d * parts + p] *= rescale[p]; });
}

/// The functions of an instruction set.
template <class T>
struct AttentionKernel {
  /// s[j, lane] = sum over d of t[d, lane] rows[j, d].
  void (*score)(const T* t, const T* rows, std::int64_t stride, std::int64_t count, std::int64_t dim, T* s);
  /// t[d, lane] += sum over j of w[j, lane] rows[j, d].
  void (*add_weighted)(const T* w, const T* rows, std::int64_t stride, std::int64_t count, std::int64_t dim, T* t);
  /// A step of the running softmax over scores s [count, lanes], times
  /// `attention_unit`, which become weights relative to the new maximum; the
  /// sums and results so far, t [dim, lanes], are rescaled to it.
  void (*softmax_step)(T* s, std::int64_t count, T* maximum, T* total, T* t, std::int64_t dim);
  /// s = e^s for s [count, lanes].
  void (*exp)(T* s, std::int64_t count);
};

template <class T>
void score_portable(const T* t, const T* rows, std::int64_t stride, std::int64_t count, std::int64_t dim, T* s) {
  score_loops<T, 16 / sizeof(T), 2>(t, rows, stride, count, dim, s);
}
template <class T>
void weighted_portable(const T* w, const T* rows, std::int64_t stride, std::int64_t count, std::int64_t dim, T* t) {
  weighted_loops<T, 16 / sizeof(T), 2>(w, rows, stride, count, dim, t);
}
template <class T>
void softmax_step_portable(T* s, std::int64_t count, T* maximum, T* total, T* t, std::int64_t dim) {
  softmax_step_loops<T, 16 / sizeof(T)>(s, count, maximum, total, t, dim);
}
template <class T>
void exp_portable(T* s, std::int64_t count) {
  exp_loop<T, 16 / sizeof(T)>(s, count);
}
#if defined(__x86_64__)
template <class T>
__attribute__((target("avx2,fma"))) void score_avx2(const T* t, const T* rows, std::int64_t stride, std::int64_t count,
                                                    std::int64_t dim, T* s) {
  score_loops<T, 32 / sizeof(T), 6>(t, rows, stride, count, dim, s);
}
template <class T>
__attribute__((target("avx2,fma"))) void weighted_avx2(const T* w, const T* rows, std::int64_t stride,
                                                       std::int64_t count, std::int64_t dim, T* t) {
  weighted_loops<T, 32 / sizeof(T), 6>(w, rows, stride, count, dim, t);
}
template <class T>
__attribute__((target("avx2,fma"))) void softmax_step_avx2(T* s, std::int64_t count, T* maximum, T* total, T* t,
                                                           std::int64_t dim) {
  softmax_step_loops<T, 32 / sizeof(T)>(s, count, maximum, total, t, dim);
}
template <class T>
__attribute__((target("avx2,fma"))) void exp_avx2(T* s, std::int64_t count) {
  exp_loop<T, 32 / sizeof(T)>(s, count);
}
template <class T>
__attribute__((target("avx512f,avx2,fma"))) void score_avx512(const T* t, const T* rows, std::int64_t stride,
                                                              std::int64_t count, std::int64_t dim, T* s) {
  score_loops<T, 64 / sizeof(T), 12>(t, rows, stride, count, dim, s);
}
template <class T>
__attribute__((target("avx512f,avx2,fma"))) void weighted_avx512(const T* w, const T* rows, std::int64_t stride,
                                                                 std::int64_t count, std::int64_t dim, T* t) {
  weighted_loops<T, 64 / sizeof(T), 12>(w, rows, stride, count, dim, t);
}
template <class T>
__attribute__((target("avx512f,avx2,fma"))) void softmax_step_avx512(T* s, std::int64_t count, T* maximum, T* total,
                                                                     T* t, std::int64_t dim) {
  softmax_step_loops<T, 64 / sizeof(T)>(s, count, maximum, total, t, dim);
}
template <class T>
__attribute__((target("avx512f,avx2,fma"))) void exp_avx512(T* s, std::int64_t count) {
  exp_loop<T, 64 / sizeof(T)>(s, count);
}
#endif

/// The kernel of the selected instruction set.
template <class T>
AttentionKernel<T> attention_kernel() {
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::avx512)
    return {score_avx512<T>, weighted_avx512<T>, softmax_step_avx512<T>, exp_avx512<T>};
  if (instruction_set() == InstructionSet::avx2)
    return {score_avx2<T>, weighted_avx2<T>, softmax_step_avx2<T>, exp_avx2<T>};
#endif
  return {score_portable<T>, weighted_portable<T>, softmax_step_portable<T>, exp_portable<T>};
}

}  // namespace hypersd::ops::backend
