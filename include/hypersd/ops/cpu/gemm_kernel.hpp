// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/ops/cpu/elements.hpp>
#include <hypersd/ops/cpu/lanes.hpp>
#include <type_traits>

/// \file
/// The inner loops of every matmul on the CPU: a tile of the result that stays in registers (Goto and van de Geijn,
/// "Anatomy of High-Performance Matrix Multiplication", 2008). One template for all vector widths; the functions that
/// instantiate it name their instruction set. An element's products are added one by one in the order of k, so all
/// widths give the same bits where the compiler fuses multiplication and addition.

namespace hypersd::ops::backend {

/// The operands of a tile: A is [k, rows], or [rows, k] if `by_rows`, and B is [k, columns], with row strides `a_step`
/// and `b_step`.
template <class T>
struct TileOperands {
  std::int64_t k;
  const T *a, *b;
  std::int64_t a_step, b_step;
  bool by_rows = false;
};

/// Row i of a tile's A, from column p on: three rows share a register, because x86 adds one or two strides for free.
template <class T, int rows>
struct TileRows {
  static constexpr int count = (rows + 2) / 3;
  const T* third[count];
  std::int64_t step;

  __attribute__((always_inline)) TileRows(const T* a, std::int64_t stride) : step(stride) {
    unrolled<count>([&](auto i) __attribute__((always_inline)) {
      third[i] = a + 3 * i * stride;
      asm("" : "+r"(third[i]));  // else the compiler keeps a register for each row
    });
  }
  template <int i>
  __attribute__((always_inline)) T next(std::integral_constant<int, i>) const {
    return third[i / 3][i % 3 * step];
  }
  __attribute__((always_inline)) void advance() {
    unrolled<count>([&](auto i) __attribute__((always_inline)) { ++third[i]; });
  }
};
template <class T>
struct TileColumns {
  const T* column;
  std::int64_t step;

  __attribute__((always_inline)) TileColumns(const T* a, std::int64_t stride) : column(a), step(stride) {}
  template <int i>
  __attribute__((always_inline)) T next(std::integral_constant<int, i>) const {
    return column[i];
  }
  __attribute__((always_inline)) void advance() { column += step; }
};

/// c = alpha A^T B + from (or alpha A B), 2 width columns wide; row i of the result is at c + i ldc, that of `from` at
/// from + i from_stride. `from` may be c.
template <class T, int width, int rows, bool by_rows>
__attribute__((always_inline)) inline void multiply_tile(const TileOperands<T>& in, T alpha, const T* from,
                                                         std::int64_t from_stride, T* c, std::int64_t ldc) {
  std::conditional_t<by_rows, TileRows<T, rows>, TileColumns<T>> a(in.a, in.a_step);
  const T* b = in.b;
  using V = typename Vector<T, width>::type;
  using Loose = typename Vector<T, width>::loose;
  V left[rows], right[rows];
  unrolled<rows>([&](auto i) __attribute__((always_inline)) {
    left[i] = V{};
    right[i] = V{};
  });
  unrolled<rows>([&](auto i) __attribute__((always_inline)) { __builtin_prefetch(from + i * from_stride); });
  for (std::int64_t p = 0; p < in.k; ++p, b += in.b_step) {
    const V b0 = *reinterpret_cast<const Loose*>(b), b1 = *reinterpret_cast<const Loose*>(b + width);
    unrolled<rows>([&](auto i) __attribute__((always_inline)) {
      const T x = a.next(i);
      left[i] += x * b0;
      right[i] += x * b1;
    });
    a.advance();
  }
  unrolled<rows>([&](auto i) __attribute__((always_inline)) {
    const T* x = from + i * from_stride;
    T* y = c + i * ldc;
    *reinterpret_cast<Loose*>(y) = alpha * left[i] + *reinterpret_cast<const Loose*>(x);
    *reinterpret_cast<Loose*>(y + width) = alpha * right[i] + *reinterpret_cast<const Loose*>(x + width);
  });
}

/// Rows of B whose dot products with a row of A are computed together.
inline constexpr int dot_rows = 4;

/// to[r] = sum over p of a[p] b[r b_step + p], r < dot_rows: sixteen partial sums each, added in a fixed tree, then the
/// last k % 16 products.
template <class T, int width>
__attribute__((always_inline)) inline void multiply_dots(std::int64_t k, const T* a, const T* b, std::int64_t b_step,
                                                         T* to) {
  using V = typename Vector<T, width>::type;
  using Loose = typename Vector<T, width>::loose;
  constexpr int lanes = 16, parts = lanes / width;
  V sum[dot_rows * parts];
  unrolled<dot_rows * parts>([&](auto i) __attribute__((always_inline)) { sum[i] = V{}; });
  std::int64_t p = 0;
  for (; p + lanes <= k; p += lanes)
    unrolled<dot_rows * parts>([&](auto i) __attribute__((always_inline)) {
      constexpr int r = i / parts, at = i % parts * width;
      sum[i] += *reinterpret_cast<const Loose*>(a + p + at) * *reinterpret_cast<const Loose*>(b + r * b_step + p + at);
    });
  alignas(64) T x[dot_rows * lanes];
  __builtin_memcpy(x, sum, sizeof x);
  using Four = typename Vector<T, 4>::type;
  Four h[dot_rows];
  for (int r = 0; r < dot_rows; ++r) {
    const auto* y = reinterpret_cast<const typename Vector<T, 4>::loose*>(x + r * lanes);
    h[r] = (y[0] + y[2]) + (y[1] + y[3]);
  }
  const Four a0 = __builtin_shufflevector(h[0], h[1], 0, 4, 1, 5), a1 = __builtin_shufflevector(h[0], h[1], 2, 6, 3, 7);
  const Four b0 = __builtin_shufflevector(h[2], h[3], 0, 4, 1, 5), b1 = __builtin_shufflevector(h[2], h[3], 2, 6, 3, 7);
  const Four even = __builtin_shufflevector(a0, b0, 0, 1, 4, 5) + __builtin_shufflevector(a1, b1, 0, 1, 4, 5);
  const Four odd = __builtin_shufflevector(a0, b0, 2, 3, 6, 7) + __builtin_shufflevector(a1, b1, 2, 3, 6, 7);
  const Four total = even + odd;
  __builtin_memcpy(to, &total, sizeof total);
  for (; p < k; ++p)
    for (int r = 0; r < dot_rows; ++r) to[r] += a[p] * b[r * b_step + p];
}

/// A tile's size and the functions of an instruction set; see `multiply_tile` and `multiply_dots`.
template <class T>
struct GemmKernel {
  int rows, columns;
  using Multiply = void(const TileOperands<T>& in, T alpha, const T* from, std::int64_t from_stride, T* c,
                        std::int64_t ldc);
  Multiply *by_columns, *by_rows;
  void (*dots)(std::int64_t k, const T* a, const T* b, std::int64_t b_step, T* to);
  static constexpr int most_rows = 14, most_columns = 128 / static_cast<int>(sizeof(T));

  void multiply(const TileOperands<T>& in, T alpha, const T* from, std::int64_t from_stride, T* c,
                std::int64_t ldc) const {
    (in.by_rows ? by_rows : by_columns)(in, alpha, from, from_stride, c, ldc);
  }
};

template <class T, bool by_rows>
void multiply_portable(const TileOperands<T>& in, T alpha, const T* from, std::int64_t from_stride, T* c,
                       std::int64_t ldc) {
  multiply_tile<T, 16 / sizeof(T), 4, by_rows>(in, alpha, from, from_stride, c, ldc);
}
template <class T>
void dots_portable(std::int64_t k, const T* a, const T* b, std::int64_t b_step, T* to) {
  multiply_dots<T, 16 / sizeof(T)>(k, a, b, b_step, to);
}
#if defined(__x86_64__)
template <class T, bool by_rows>
__attribute__((target("avx2,fma"))) void multiply_avx2(const TileOperands<T>& in, T alpha, const T* from,
                                                       std::int64_t from_stride, T* c, std::int64_t ldc) {
  multiply_tile<T, 32 / sizeof(T), 6, by_rows>(in, alpha, from, from_stride, c, ldc);
}
template <class T>
__attribute__((target("avx2,fma"))) void dots_avx2(std::int64_t k, const T* a, const T* b, std::int64_t b_step, T* to) {
  multiply_dots<T, 32 / sizeof(T)>(k, a, b, b_step, to);
}
template <class T, bool by_rows>
__attribute__((target("avx512f,avx2,fma"))) void multiply_avx512(const TileOperands<T>& in, T alpha, const T* from,
                                                                 std::int64_t from_stride, T* c, std::int64_t ldc) {
  multiply_tile<T, 64 / sizeof(T), 14, by_rows>(in, alpha, from, from_stride, c, ldc);
}
template <class T>
__attribute__((target("avx512f,avx2,fma"))) void dots_avx512(std::int64_t k, const T* a, const T* b,
                                                             std::int64_t b_step, T* to) {
  multiply_dots<T, 64 / sizeof(T)>(k, a, b, b_step, to);
}
#endif

/// The kernel of the selected instruction set.
template <class T>
GemmKernel<T> gemm_kernel() {
  constexpr int lane = static_cast<int>(sizeof(T));
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::avx512)
    return {14, 128 / lane, multiply_avx512<T, false>, multiply_avx512<T, true>, dots_avx512<T>};
  if (instruction_set() == InstructionSet::avx2)
    return {6, 64 / lane, multiply_avx2<T, false>, multiply_avx2<T, true>, dots_avx2<T>};
#endif
  return {4, 32 / lane, multiply_portable<T, false>, multiply_portable<T, true>, dots_portable<T>};
}

}  // namespace hypersd::ops::backend
