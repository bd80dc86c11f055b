// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/config.hpp>
#include <hypersd/core/half.hpp>
#include <hypersd/core/scalar.hpp>

/// \file
/// The product of a warp on tensor cores: C [16, 8] += A [16, 16] B [16, 8] for 16-bit A and B and float C. Its 32
/// lanes hold the matrices together, pairs of neighbours in 32-bit registers, as the instruction mma.m16n8k16 wants it
/// (NVIDIA, "PTX ISA", Matrix Fragments for mma.m16n8k16). `Block::mma` of ops/kernels_cuda.cuh is that instruction.

namespace hypersd::ops::launch {

/// Where an element of a fragment stands in its matrix.
struct MmaPlace {
  int row, col;
};

/// Lower half of register `r` < 4 of a lane's part of A; the upper half is the next column.
HYPERSD_HD constexpr MmaPlace mma_a(int lane, int r) { return {lane / 4 + 8 * (r % 2), lane % 4 * 2 + 8 * (r / 2)}; }
/// Lower half of register `r` < 2 of a lane's part of B; the upper half is the next row.
HYPERSD_HD constexpr MmaPlace mma_b(int lane, int r) { return {lane % 4 * 2 + 8 * r, lane / 4}; }
/// Element `i` < 4 of a lane's part of C. The registers of two neighbouring C are, rounded, those of one A.
HYPERSD_HD constexpr MmaPlace mma_c(int lane, int i) { return {lane / 4 + 8 * (i / 2), lane % 4 * 2 + i % 2}; }

/// Place in memory of inner index k < 16 of a product such that a lane's pairs of B are neighbours, one access. Any
/// order will do that both factors share.
HYPERSD_HD constexpr int mma_inner(int k) { return k % 8 / 2 * 4 + k / 8 * 2 + k % 2; }

/// A lane's registers of one product.
struct MmaRegisters {
  float* c;                ///< 4 numbers, added to
  const std::uint32_t* a;  ///< 4 pairs
  const std::uint32_t* b;  ///< 2 pairs
};

/// The instruction, reached by all lanes of a warp; nothing on the host.
template <Narrow T>
HYPERSD_HD void mma_sync(const MmaRegisters& r) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (std::same_as<T, bfloat16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(r.c[0]), "+f"(r.c[1]), "+f"(r.c[2]), "+f"(r.c[3])
        : "r"(r.a[0]), "r"(r.a[1]), "r"(r.a[2]), "r"(r.a[3]), "r"(r.b[0]), "r"(r.b[1]));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(r.c[0]), "+f"(r.c[1]), "+f"(r.c[2]), "+f"(r.c[3])
        : "r"(r.a[0]), "r"(r.a[1]), "r"(r.a[2]), "r"(r.a[3]), "r"(r.b[0]), "r"(r.b[1]));
#else
  (void)r;
#endif
}

/// Two numbers rounded to T in one register, the first in its lower half.
template <Narrow T>
HYPERSD_HD std::uint32_t packed(float low, float high) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t out = 0;
  if constexpr (std::same_as<T, bfloat16>)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
#else
  return static_cast<std::uint32_t>(T(low).bits) | static_cast<std::uint32_t>(T(high).bits) << 16U;
#endif
}

/// Memory that one access reads or writes, at a multiple of its size.
template <int bytes>
struct alignas(bytes) Word {
  std::uint32_t v[bytes / 4];
};
template <int bytes, Narrow T>
HYPERSD_HD Word<bytes> load_word(const T* p) {
#if defined(__CUDA_ARCH__)
  return *reinterpret_cast<const Word<bytes>*>(p);
#else
  Word<bytes> out;
  __builtin_memcpy(&out, p, bytes);
  return out;
#endif
}
template <int bytes, Narrow T>
HYPERSD_HD void store_word(T* p, const Word<bytes>& word) {
#if defined(__CUDA_ARCH__)
  *reinterpret_cast<Word<bytes>*>(p) = word;
#else
  __builtin_memcpy(static_cast<void*>(p), &word, bytes);
#endif
}

/// 2^x to 2 ulp for x <= 0; results below the smallest normal number are 0.
HYPERSD_HD inline float exp2_below_one(float x) {
#if defined(__CUDA_ARCH__)
  float out = 0;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
#else
  return x < -126.0F ? 0.0F : __builtin_exp2f(x);
#endif
}

}  // namespace hypersd::ops::launch
