// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/instruction_set.hpp>
#include <hypersd/ops/cpu/lanes.hpp>
#include <type_traits>

/// \file
/// Loops of ordinary code that a program compiled for any processor executes as fast as one compiled for this
/// processor: where the translation unit has no fused multiplication and addition, they are compiled once more, for
/// AVX2.

namespace hypersd::ops::backend {

#if defined(__x86_64__) && !defined(__FMA__)
/// f() with all that it calls compiled for AVX2 and FMA; GCC vectorises few loops below -O3.
template <class F>
#if defined(__clang__)
__attribute__((target("avx2,fma"), flatten)) void vectorized_avx2(F f) {
#else
__attribute__((target("avx2,fma"), optimize("O3"), flatten)) void vectorized_avx2(F f) {
#endif
  f();
}
#endif

/// f(), by the selected instruction set.
template <class F>
void vectorized(F f) {
#if defined(__x86_64__) && !defined(__FMA__)
  if (instruction_set() != InstructionSet::portable) return vectorized_avx2(f);
#endif
  f();
}

/// f(bytes) with the bytes of a vector register (see `Lanes`) as a compile-time constant, likewise.
template <class F>
void vectorized_lanes(const F& f) {
#if defined(__x86_64__) && !defined(__FMA__)
  if (instruction_set() != InstructionSet::portable)
    return vectorized_avx2([&] { f(std::integral_constant<int, 32>{}); });
#endif
  f(std::integral_constant<int, native_bytes>{});
}

/// f(0), ..., f(n - 1), likewise.
template <class F>
void vectorized_loop(std::int64_t n, const F& f) {
  vectorized([&] {
    for (std::int64_t i = 0; i < n; ++i) f(i);
  });
}

}  // namespace hypersd::ops::backend
