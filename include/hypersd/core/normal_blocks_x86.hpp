// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/normal_blocks_generic.hpp>

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

/// The portable loops, compiled for AVX-512. GCC takes half of a register if it is not told otherwise.
#if defined(__clang__)
__attribute__((target("avx512f"), min_vector_width(512), flatten)) inline void normal_blocks_avx512(Stream s,
                                                                                                    std::uint64_t block,
                                                                                                    std::int64_t count,
                                                                                                    float* out) {
  normal_blocks_generic(s, block, count, out);
}
#else
__attribute__((target("avx512f,prefer-vector-width=512"), flatten)) inline void normal_blocks_avx512(
    Stream s, std::uint64_t block, std::int64_t count, float* out) {
  normal_blocks_generic(s, block, count, out);
}
#endif

}  // namespace hypersd::detail

#endif
