// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/config.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>

/// \file
/// Matrix multiply-accumulate of a warp on tensor cores: C [16, 8] += A [16, 16] B [16, 8] for 16-bit A and B and float
/// C. The 32 lanes hold fragments of the matrices, pairs of neighbours in 32-bit registers (NVIDIA, "PTX ISA", Matrix
/// Fragments for mma.m16n8k16). Kernels call these instructions by `Block::mma` and `Block::ldmatrix`.

namespace hypersd::ops::launch {

/// Position of an element of a fragment in its matrix.
struct MmaPosition {
  int row, col;
};

/// Lower half of register `r` < 4 of a lane's fragment of A; the upper half is the next column.
HYPERSD_HD constexpr MmaPosition mma_a(int lane, int r) { return {lane / 4 + 8 * (r % 2), lane % 4 * 2 + 8 * (r / 2)}; }
/// Lower half of register `r` < 2 of a lane's fragment of B; the upper half is the next row.
HYPERSD_HD constexpr MmaPosition mma_b(int lane, int r) { return {lane % 4 * 2 + 8 * r, lane / 4}; }
/// Element `i` < 4 of a lane's fragment of C. The fragments of two neighbouring C are, rounded, that of one A.
HYPERSD_HD constexpr MmaPosition mma_c(int lane, int i) { return {lane / 4 + 8 * (i / 2), lane % 4 * 2 + i % 2}; }

/// A lane's registers of one instruction.
struct MmaRegisters {
  float* c;                ///< 4 elements, read and written
  const std::uint32_t* a;  ///< 4 pairs
  const std::uint32_t* b;  ///< 2 pairs
};

/// The instruction, executed by all lanes of a warp; nothing on the host.
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

/// A lane's arguments for loading four 8 x 8 matrices of 16-bit elements from shared memory: it gives the address of
/// row lane % 8 of matrix lane / 8, and receives one register of each matrix, at ldmatrix_position(lane).
struct LdmatrixRegisters {
  const std::uint16_t* row;  ///< 8 elements, aligned to 16 bytes
  std::uint32_t* to;         ///< 4 pairs, one of each matrix
};

/// Lower half of a lane's register of an 8 x 8 matrix (NVIDIA, "PTX ISA", ldmatrix); the upper half is the next column.
/// With the transposing load, the row here is a column of memory.
HYPERSD_HD constexpr MmaPosition ldmatrix_position(int lane) { return {lane / 4, lane % 4 * 2}; }

/// The row address of a lane that loads a fragment of A whose rows are rows of memory, `pitch` elements apart; or, with
/// the transposing load, the fragments of two neighbouring B whose rows are rows of memory.
HYPERSD_HD inline const std::uint16_t* ldmatrix_row_a(const std::uint16_t* corner, int pitch, int lane) {
  return corner + lane % 16 * pitch + lane / 16 * 8;
}
/// The same for the fragments of two neighbouring B whose columns are rows of memory.
HYPERSD_HD inline const std::uint16_t* ldmatrix_row_b(const std::uint16_t* corner, int pitch, int lane) {
  return corner + (lane % 8 + lane / 16 * 8) * pitch + lane / 8 % 2 * 8;
}

/// The instruction, executed by all lanes of a warp; nothing on the host.
template <bool transposed>
HYPERSD_HD void ldmatrix(const LdmatrixRegisters& r) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r.to[0]), "=r"(r.to[1]), "=r"(r.to[2]), "=r"(r.to[3])
                 : "r"(shared_address(r.row))
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r.to[0]), "=r"(r.to[1]), "=r"(r.to[2]), "=r"(r.to[3])
                 : "r"(shared_address(r.row))
                 : "memory");
#else
  (void)r;
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
