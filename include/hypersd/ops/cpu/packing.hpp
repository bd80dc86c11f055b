// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/elements.hpp>
#include <hypersd/ops/cpu/gemm_kernel.hpp>
#include <type_traits>
#include <utility>

/// \file
/// Transposition, and by it the packing of a matmul's operands into the order in which its tiles read them.

namespace hypersd::ops::backend {

/// `transpose` of four rows.
template <class T>
void transpose_four(const T* const* rows, std::int64_t count, T* to, std::int64_t step) {
  using V = typename Vector<T, 4>::type;
  using Loose = typename Vector<T, 4>::loose;
  const T *x0 = rows[0], *x1 = rows[1], *x2 = rows[2], *x3 = rows[3];
  std::int64_t p = 0;
  for (; p + 4 <= count; p += 4, to += 4 * step) {
    const V a = *reinterpret_cast<const Loose*>(x0 + p), b = *reinterpret_cast<const Loose*>(x1 + p);
    const V c = *reinterpret_cast<const Loose*>(x2 + p), d = *reinterpret_cast<const Loose*>(x3 + p);
    const V ac0 = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac1 = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    const V bd0 = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd1 = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    *reinterpret_cast<Loose*>(to) = __builtin_shufflevector(ac0, bd0, 0, 4, 1, 5);
    *reinterpret_cast<Loose*>(to + step) = __builtin_shufflevector(ac0, bd0, 2, 6, 3, 7);
    *reinterpret_cast<Loose*>(to + 2 * step) = __builtin_shufflevector(ac1, bd1, 0, 4, 1, 5);
    *reinterpret_cast<Loose*>(to + 3 * step) = __builtin_shufflevector(ac1, bd1, 2, 6, 3, 7);
  }
  for (; p < count; ++p, to += step)
    for (int r = 0; r < 4; ++r) to[r] = rows[r][p];
}

#if defined(__x86_64__)
/// `transpose` of eight rows; or of six with a step of six, and two that are not stored.
template <int stored>
__attribute__((target("avx2,fma"))) void transpose_eight(const float* const* rows, std::int64_t count, float* to,
                                                         std::int64_t step) {
  using Four = Vector<float, 4>::loose;
  using V = Vector<float, 8>::type;
  const float* const row[] = {rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7]};
  std::int64_t p = 0;
  // The next row overwrites elements 6 and 7 of a row that should have six; the last ones are left.
  for (constexpr int last = stored == 8 ? 0 : 1; p + 4 + last <= count; p += 4, to += 4 * step) {
    V x[4];  // rows r and r + 4
    unrolled<4>([&](auto r) __attribute__((always_inline)) {
      x[r] = __builtin_shufflevector(*reinterpret_cast<const Four*>(row[r] + p),
                                     *reinterpret_cast<const Four*>(row[r + 4] + p), 0, 1, 2, 3, 4, 5, 6, 7);
    });
    const V low02 = __builtin_shufflevector(x[0], x[2], 0, 8, 1, 9, 4, 12, 5, 13);
    const V low13 = __builtin_shufflevector(x[1], x[3], 0, 8, 1, 9, 4, 12, 5, 13);
    const V high02 = __builtin_shufflevector(x[0], x[2], 2, 10, 3, 11, 6, 14, 7, 15);
    const V high13 = __builtin_shufflevector(x[1], x[3], 2, 10, 3, 11, 6, 14, 7, 15);
    const V y[4] = {__builtin_shufflevector(low02, low13, 0, 8, 1, 9, 4, 12, 5, 13),
                    __builtin_shufflevector(low02, low13, 2, 10, 3, 11, 6, 14, 7, 15),
                    __builtin_shufflevector(high02, high13, 0, 8, 1, 9, 4, 12, 5, 13),
                    __builtin_shufflevector(high02, high13, 2, 10, 3, 11, 6, 14, 7, 15)};
    unrolled<4>([&](auto q) __attribute__((always_inline)) {
      *reinterpret_cast<Vector<float, 8>::loose*>(to + q * step) = y[q];
    });
  }
  for (; p < count; ++p, to += step)
    for (int r = 0; r < stored; ++r) to[r] = rows[r][p];
}
#endif

/// to[p step + r] = rows[r][p] for r < height and p < count.
template <class T>
void transpose(const T* const* rows, int height, std::int64_t count, T* to, std::int64_t step) {
#if defined(__x86_64__)
  if constexpr (std::same_as<T, float>) {
    if ((height >= 8 || (height == 6 && step == 6)) && instruction_set() != InstructionSet::portable) {
      if (height == 6) {
        const T* const eight[] = {rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[4], rows[5]};
        return transpose_eight<6>(eight, count, to, step);
      }
      for (int first = 0; first < height; first += 8) {
        const int r = std::min(first, height - 8);  // the last block overlaps the one before
        transpose_eight<8>(rows + r, count, to + r, step);
      }
      return;
    }
  }
#endif
  if (height < 4) {
    for (std::int64_t p = 0; p < count; ++p)
      for (int r = 0; r < height; ++r) to[p * step + r] = rows[r][p];
    return;
  }
  for (int first = 0; first < height; first += 4) {
    const int r = std::min(first, height - 4);
    transpose_four(rows + r, count, to + r, step);
  }
}

/// Packs the first `valid` <= `width` rows of `count` elements with row stride `stride` as [count, width]; missing ones
/// repeat the last: their results are not stored.
template <class T>
void pack_rows(const Elements<T>& from, std::int64_t stride, std::int64_t valid, int width, std::int64_t count, T* to) {
  constexpr std::int64_t most_width = GemmKernel<T>::most_columns, most = 64;  // elements of a row widened at once
  const T* rows[most_width];
  if (!from.widened()) {
    for (std::int64_t i = 0; i < width; ++i) rows[i] = from.in_place + std::min(i, valid - 1) * stride;
    return transpose(rows, width, count, to, width);
  }
  alignas(64) T widened[most_width * most];
  for (std::int64_t i = 0; i < width; ++i) rows[i] = widened + std::min(i, valid - 1) * most;
  for (std::int64_t p = 0; p < count; p += most, to += width * most) {
    const std::int64_t part = std::min(most, count - p);
    for (std::int64_t i = 0; i < valid; ++i) from.from(i * stride + p).copy(part, widened + i * most);
    transpose(rows, width, part, to, width);
  }
}

/// The reverse for a strip [count, width] whose first `valid` rows of `count` elements go to `to`, `stride` apart.
template <class T>
void unpack_strip(const Elements<T>& strip, int width, std::int64_t valid, std::int64_t count, T* to,
                  std::int64_t stride) {
  constexpr std::int64_t most = 64;
  alignas(64) T widened[most * GemmKernel<T>::most_columns];
  for (std::int64_t p = 0; p < count; p += most) {
    const std::int64_t part = std::min(most, count - p);
    const T* from = strip.from(p * width).read(part * width, widened);
    const T* rows[most];
    for (std::int64_t i = 0; i < part; ++i) rows[i] = from + i * width;
    transpose(rows, static_cast<int>(part), valid, to + p, stride);
  }
}

/// A weight [rows, count] in strips as a row-major matrix.
template <class T>
Tensor<T, Cpu> unpacked(const Elements<T>& w, std::int64_t rows, std::int64_t count) {
  Tensor<T, Cpu> out(Shape{rows, count});
  parallel_for((rows + w.strip - 1) / w.strip, std::max<std::int64_t>(1, 65536 / (w.strip * (count + 1))),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin * w.strip; i < end * w.strip && i < rows; i += w.strip)
                   unpack_strip(w.from(i * count), w.strip, std::min<std::int64_t>(w.strip, rows - i), count,
                                out.data() + i * count, count);
               });
  return out;
}

/// Packs `valid` <= `width` columns of `count` rows with row stride `stride` as [count, width]; missing ones are 0.
template <int width, class T>
void pack_columns(const Elements<T>& from, std::int64_t stride, std::int64_t valid, std::int64_t count, T* to) {
  for (std::int64_t p = 0; p < count; ++p, to += width) {
    if (valid == width && !from.widened()) {
      __builtin_memcpy(to, from.in_place + p * stride, width * sizeof(T));
    } else {
      from.from(p * stride).copy(valid, to);
      std::fill(to + valid, to + width, T(0));
    }
  }
}

/// f with `width`, that of a kernel's rows or columns, as a compile-time constant.
template <class F>
void with_tile_width(int width, F&& f) {
  switch (width) {
    case 4: return f(std::integral_constant<int, 4>{});
    case 6: return f(std::integral_constant<int, 6>{});
    case 8: return f(std::integral_constant<int, 8>{});
    case 14: return f(std::integral_constant<int, 14>{});
    case 16: return f(std::integral_constant<int, 16>{});
    default: return f(std::integral_constant<int, 32>{});
  }
}

}  // namespace hypersd::ops::backend
