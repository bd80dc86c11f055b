// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/ops/geometry.hpp>

/// \file
/// Arguments of cublasLtMatmul as plain numbers, so that CPU tests can check them.

namespace hypersd::ops {

/// A column-major matrix: `rows` x `cols`, leading dimension `ld` (element (r, c) is at r + c ld), `stride` elements
/// from one matrix of a batch to the next; an operand that is read transposed has `transposed`.
struct LtLayout {
  std::int64_t rows, cols, ld, stride;
  bool transposed = false;
};

/// The column-major matmul c = alpha op(a) op(b) + beta c of `batch` matrices; element r of a bias belongs to row r of
/// c.
struct LtMatmul {
  LtLayout a, b, c;
  std::int64_t batch;
};

/// The row-major matmul C [m, n] = op(A) op(B) with leading dimensions lda, ldb, ldc. The same memory, read
/// column-major, is C^T = op(B)^T op(A)^T: cuBLASLt's a is B, its b is A, and a bias [n] of C's columns is one of C^T's
/// rows. Throws ShapeError for sizes beyond the 32 bits of cuBLAS.
inline LtMatmul lt_matmul(std::int64_t batch, GemmShape s, std::int64_t lda, std::int64_t ldb, std::int64_t ldc) {
  constexpr std::int64_t limit = 2147483647;
  for (const std::int64_t size : {batch, s.m, s.n, s.k, lda, ldb, ldc})
    require<ShapeError>(size <= limit, "gemm: ", batch, " x [", s.m, ", ", s.k, "] x [", s.k, ", ", s.n,
                        "] with leading dimensions ", lda, ", ", ldb, ", ", ldc, " exceeds the 32-bit sizes of cuBLAS");
  LtLayout b{s.n, s.k, ldb, s.n * s.k, false}, a{s.k, s.m, lda, s.m * s.k, false};
  if (s.trans_b) b = {s.k, s.n, ldb, s.n * s.k, true};
  if (s.trans_a) a = {s.m, s.k, lda, s.m * s.k, true};
  return {b, a, {s.n, s.m, ldc, s.m * s.n}, batch};
}

}  // namespace hypersd::ops
