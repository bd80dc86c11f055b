// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

/// \file
/// Vector registers of any width, and sixteen numbers in them, for loops that keep tiles in registers: compilers spill
/// or shuffle tiles of plain arrays. The arithmetic of a lane does not depend on the width.

namespace hypersd::ops::backend {

/// `width` elements of T in a vector register, and the same type for unaligned memory.
template <class T, int width>
struct Vector {
  typedef T type __attribute__((vector_size(width * sizeof(T))));
  typedef T loose __attribute__((vector_size(width * sizeof(T)), aligned(alignof(T)), may_alias));
};

/// f(0), ..., f(n - 1) with compile-time constants, inlined at every optimisation level.
template <int n, class F>
__attribute__((always_inline)) inline void unrolled(F&& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) __attribute__((always_inline)) {
    (f(std::integral_constant<int, i>{}), ...);
  }
  (std::make_integer_sequence<int, n>{});
}

/// Bytes of the widest vector registers that the translation unit is compiled for.
#if defined(__AVX512F__)
inline constexpr int native_bytes = 64;
#elif defined(__AVX__)
inline constexpr int native_bytes = 32;
#else
inline constexpr int native_bytes = 16;
#endif

/// Sixteen numbers in registers of `bytes`. All is inlined, so that it is compiled for the caller's instruction set.
template <class T, int bytes = native_bytes>
struct Lanes {
  static constexpr int count = 16, width = bytes / static_cast<int>(sizeof(T)), parts = count / width;
  using V = typename Vector<T, width>::type;
  using Loose = typename Vector<T, width>::loose;

  V part[parts];

  __attribute__((always_inline)) static Lanes load(const T* p) {
    Lanes out;
    unrolled<parts>([&](auto i) __attribute__((always_inline)) {
      out.part[i] = *reinterpret_cast<const Loose*>(p + i * width);
    });
    return out;
  }
  __attribute__((always_inline)) static Lanes splat(T x) {
    Lanes out;
    unrolled<parts>([&](auto i) __attribute__((always_inline)) { out.part[i] = x - V{}; });
    return out;
  }
  __attribute__((always_inline)) void store(T* p) const {
    unrolled<parts>([&](auto i) __attribute__((always_inline)) { *reinterpret_cast<Loose*>(p + i * width) = part[i]; });
  }
  /// this += a b.
  __attribute__((always_inline)) void add_product(const Lanes& a, const Lanes& b) {
    unrolled<parts>([&](auto i) __attribute__((always_inline)) { part[i] += a.part[i] * b.part[i]; });
  }
  __attribute__((always_inline)) friend Lanes operator+(const Lanes& a, const Lanes& b) {
    Lanes out;
    unrolled<parts>([&](auto i) __attribute__((always_inline)) { out.part[i] = a.part[i] + b.part[i]; });
    return out;
  }
  __attribute__((always_inline)) friend Lanes operator-(const Lanes& a, const Lanes& b) {
    Lanes out;
    unrolled<parts>([&](auto i) __attribute__((always_inline)) { out.part[i] = a.part[i] - b.part[i]; });
    return out;
  }
  __attribute__((always_inline)) friend Lanes operator*(const Lanes& a, const Lanes& b) {
    Lanes out;
    unrolled<parts>([&](auto i) __attribute__((always_inline)) { out.part[i] = a.part[i] * b.part[i]; });
    return out;
  }
  /// Sum of the sixteen in a fixed tree.
  [[nodiscard]] __attribute__((always_inline)) T sum() const {
    alignas(64) T x[16], a[8], b[4];
    store(x);
    for (int l = 0; l < 8; ++l) a[l] = x[l] + x[l + 8];
    for (int l = 0; l < 4; ++l) b[l] = a[l] + a[l + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
  }
};

}  // namespace hypersd::ops::backend
