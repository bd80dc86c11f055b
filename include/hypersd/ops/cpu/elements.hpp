// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/constant_tensor.hpp>
#include <hypersd/core/instruction_set.hpp>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/// \file
/// Weights that kernels read element by element: in place, or widened from 16 bits.

namespace hypersd::ops::backend {

/// Eight elements of 16 bits as float, exactly and without a branch: shifted into place; a `half` gets another exponent
/// bias, its subnormal numbers are converted as integers.
template <bool is_half>
__attribute__((always_inline)) inline void widen_loops(const std::uint16_t* from, std::int64_t count, float* to) {
  constexpr int width = 8;
  typedef std::uint16_t Loaded __attribute__((vector_size(2 * width)));  // NOLINT(modernize-use-using)
  typedef std::uint32_t Bits __attribute__((vector_size(4 * width)));    // NOLINT(modernize-use-using)
  typedef std::int32_t Ints __attribute__((vector_size(4 * width)));     // NOLINT(modernize-use-using)
  typedef float Floats __attribute__((vector_size(4 * width)));          // NOLINT(modernize-use-using)
  const auto eight = [](const std::uint16_t* x, float* y) __attribute__((always_inline)) {
    Loaded loaded;
    __builtin_memcpy(&loaded, x, sizeof loaded);
    const Bits bits = __builtin_convertvector(loaded, Bits);
    Bits out;
    if constexpr (is_half) {
      const Bits magnitude = bits & 0x7fffU, exponent = magnitude & 0x7c00U;
      const Bits rebias = exponent == 0x7c00U ? Bits{} + (224U << 23U) : Bits{} + (112U << 23U);
      const Floats small = __builtin_convertvector(__builtin_bit_cast(Ints, magnitude), Floats) * 0x1p-24F;
      const Bits normal = (magnitude << 13U) + rebias;
      out = (exponent == 0U ? __builtin_bit_cast(Bits, small) : normal) | ((bits & 0x8000U) << 16U);
    } else {
      out = bits << 16U;
    }
    __builtin_memcpy(y, &out, sizeof out);
  };
  std::int64_t i = 0;
  for (; i + width <= count; i += width) eight(from + i, to + i);
  if (i == count) return;
  std::uint16_t last[width] = {};
  float widened[width];
  std::copy(from + i, from + count, last);
  eight(last, widened);
  std::copy_n(widened, count - i, to + i);
}

/// Writes `count` elements of 16 bits as float.
using Widen = void (*)(const std::uint16_t* from, std::int64_t count, float* to);

template <bool is_half>
void widen_portable(const std::uint16_t* from, std::int64_t count, float* to) {
  widen_loops<is_half>(from, count, to);
}
#if defined(__x86_64__)
template <bool is_half>
__attribute__((target("avx2,fma"))) void widen_avx2(const std::uint16_t* from, std::int64_t count, float* to) {
  widen_loops<is_half>(from, count, to);
}
/// By the instruction for it; a signalling NaN becomes quiet.
__attribute__((target("avx2,fma,f16c"))) inline void widen_f16c(const std::uint16_t* from, std::int64_t count,
                                                                float* to) {
  typedef short Halves __attribute__((vector_size(16)));  // NOLINT(modernize-use-using,google-runtime-int)
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    Halves halves;
    __builtin_memcpy(&halves, from + i, sizeof halves);
    const auto floats = __builtin_ia32_vcvtph2ps256(halves);
    __builtin_memcpy(to + i, &floats, sizeof floats);
  }
  if (i < count) widen_loops<true>(from + i, count - i, to + i);
}
/// Whether the processor has that instruction.
inline bool has_f16c() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
  }();
  return has;
}
#endif

/// The function of the selected instruction set.
template <bool is_half>
Widen widen_kernel() {
#if defined(__x86_64__)
  if (instruction_set() != InstructionSet::portable) return is_half && has_f16c() ? widen_f16c : widen_avx2<is_half>;
#endif
  return widen_portable<is_half>;
}

/// Elements in memory: of type T, or of 16 bits that are widened when they are read (T is float then). Those of a
/// weight may be in strips (see `ConstantTensor`).
template <class T>
struct Elements {
  const T* in_place = nullptr;
  const std::uint16_t* narrow = nullptr;
  Widen widen = nullptr;
  int strip = 0;  // rows of a strip; 0: row-major

  Elements() = default;
  Elements(const T* data) : in_place(data) {}  // NOLINT(google-explicit-constructor)
  explicit Elements(const ConstantTensor& t) : strip(t.strip()) {
    static_assert(std::same_as<T, float>);
    if (t.narrow()) {
      narrow = t.bits();
      widen = t.is_half() ? widen_kernel<true>() : widen_kernel<false>();
    } else {
      in_place = t.floats();
    }
  }

  [[nodiscard]] bool widened() const { return widen != nullptr; }
  /// Those from element `first` on.
  [[nodiscard]] Elements from(std::int64_t first) const {
    Elements out = *this;
    if (widened())
      out.narrow += first;
    else if (in_place != nullptr)
      out.in_place += first;
    return out;
  }
  /// Asks for the cache lines of the first `count`. Always inlined: compilers take a function that only does this for
  /// one without effects.
  __attribute__((always_inline)) void prefetch(std::int64_t count) const {
    const char* data = widened() ? reinterpret_cast<const char*>(narrow) : reinterpret_cast<const char*>(in_place);
    const std::int64_t bytes = count * static_cast<std::int64_t>(widened() ? sizeof(std::uint16_t) : sizeof(T));
    for (std::int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(data + at, 0, 2);
  }
  /// Copies the first `count`.
  void copy(std::int64_t count, T* to) const {
    if constexpr (std::same_as<T, float>)
      if (widened()) return widen(narrow, count, to);
    std::copy_n(in_place, count, to);
  }
  /// The first `count`: in place, or widened into `buffer`.
  [[nodiscard]] const T* read(std::int64_t count, T* buffer) const {
    if (!widened()) return in_place;
    copy(count, buffer);
    return buffer;
  }
};

}  // namespace hypersd::ops::backend
