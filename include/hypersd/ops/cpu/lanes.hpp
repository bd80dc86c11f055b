// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <utility>

/// \file
/// Sixteen numbers in vector registers, for loops that keep tiles in registers: compilers spill or shuffle tiles of
/// plain arrays. The arithmetic of a lane does not depend on the register width.

namespace hypersd::ops::backend {

/// The widest vector type of the target, and the same type for unaligned memory.
template <class T>
struct NativeVector {
#if defined(__AVX512F__)
  static constexpr int bytes = 64;
#elif defined(__AVX__)
  static constexpr int bytes = 32;
#else
  static constexpr int bytes = 16;
#endif
  static constexpr int width = bytes / static_cast<int>(sizeof(T));
  typedef T type __attribute__((vector_size(bytes)));                                   // NOLINT(modernize-use-using)
  typedef T loose __attribute__((vector_size(bytes), aligned(alignof(T)), may_alias));  // NOLINT(modernize-use-using)
};

/// f(0), ..., f(n - 1) with compile-time constants.
template <int n, class F>
inline void unroll(F&& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) { (f(std::integral_constant<int, i>{}), ...); }
  (std::make_integer_sequence<int, n>{});
}

template <class T>
struct Lanes {
  using Native = NativeVector<T>;
  using Loose = typename Native::loose;
  static constexpr int count = 16;
  static constexpr int parts = count / Native::width;

  typename Native::type part[parts];

  static Lanes load(const T* p) {
    Lanes out;
    unroll<parts>([&](auto i) { out.part[i] = *reinterpret_cast<const Loose*>(p + i * Native::width); });
    return out;
  }
  static Lanes splat(T x) {
    Lanes out;
    unroll<parts>([&](auto i) { out.part[i] = x - typename Native::type{}; });
    return out;
  }
  void store(T* p) const {
    unroll<parts>([&](auto i) { *reinterpret_cast<Loose*>(p + i * Native::width) = part[i]; });
  }
  /// this += a b.
  void add_product(const Lanes& a, const Lanes& b) {
    unroll<parts>([&](auto i) { part[i] += a.part[i] * b.part[i]; });
  }
  void add_product(const Lanes& a, T b) {
    unroll<parts>([&](auto i) { part[i] += a.part[i] * b; });
  }
  friend Lanes operator+(const Lanes& a, const Lanes& b) {
    Lanes out;
    unroll<parts>([&](auto i) { out.part[i] = a.part[i] + b.part[i]; });
    return out;
  }
  friend Lanes operator-(const Lanes& a, const Lanes& b) {
    Lanes out;
    unroll<parts>([&](auto i) { out.part[i] = a.part[i] - b.part[i]; });
    return out;
  }
  friend Lanes operator*(const Lanes& a, const Lanes& b) {
    Lanes out;
    unroll<parts>([&](auto i) { out.part[i] = a.part[i] * b.part[i]; });
    return out;
  }
  friend Lanes max(const Lanes& a, const Lanes& b) {
    Lanes out;
    unroll<parts>([&](auto i) { out.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i]; });
    return out;
  }
  /// Sum of the sixteen in a fixed tree.
  [[nodiscard]] T sum() const {
    alignas(64) T x[16], a[8], b[4];
    store(x);
    for (int l = 0; l < 8; ++l) a[l] = x[l] + x[l + 8];
    for (int l = 0; l < 4; ++l) b[l] = a[l] + a[l + 4];
    return (b[0] + b[2]) + (b[1] + b[3]);
  }
};

}  // namespace hypersd::ops::backend
