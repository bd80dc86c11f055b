// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/config.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>

/// \file
/// The product of a warp on tensor cores: C [16, 8] += A [16, 16] B [16, 8] for 16-bit A and B and float C. Its 32
/// lanes hold the matrices together, pairs of neighbours in 32-bit registers, as the instruction mma.m16n8k16 wants it
/// (NVIDIA, "PTX ISA", Matrix Fragments for mma.m16n8k16). `Block::mma` of ops/cuda/kernels.cuh is that instruction.

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

/// A lane's part in loading four 8 x 8 matrices of 16-bit numbers from shared memory: it names row lane % 8 of matrix
/// lane / 8, and of each matrix it receives one register, at matrix_place(lane).
struct MatrixRegisters {
  const std::uint16_t* row;  ///< 8 numbers, at a multiple of 16 bytes
  std::uint32_t* to;         ///< 4 pairs, one a matrix
};

/// Lower half of a lane's register of an 8 x 8 matrix (NVIDIA, "PTX ISA", ldmatrix); the upper half is the next column.
/// Transposed, the row here is a column of memory.
HYPERSD_HD constexpr MmaPlace matrix_place(int lane) { return {lane / 4, lane % 4 * 2}; }

/// The row that a lane names for a left factor A at `corner`, lines of memory being rows of A; or, transposed, for two
/// neighbouring right factors B, lines being rows of B. Registers then are those of A, or of the two B one after
/// another.
HYPERSD_HD inline const std::uint16_t* matrices_along(const std::uint16_t* corner, int line, int lane) {
  return corner + lane % 16 * line + lane / 16 * 8;
}
/// The same for two neighbouring right factors whose columns are lines of memory, not transposed.
HYPERSD_HD inline const std::uint16_t* matrices_across(const std::uint16_t* corner, int line, int lane) {
  return corner + (lane % 8 + lane / 16 * 8) * line + lane / 8 % 2 * 8;
}

/// The instruction, reached by all lanes of a warp; nothing on the host.
template <bool transposed>
HYPERSD_HD void ldmatrix(const MatrixRegisters& r) {
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
