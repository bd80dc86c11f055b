// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/ops/cpu/matmul.hpp>

/// \file
/// What a product is called by cuBLASLt, as plain numbers that CPU tests can check.

namespace hypersd::ops {

/// A matrix in column-major storage: `rows` x `cols`, element (r, c) at r + c lead; the next one of a batch `stride`
/// elements later. A factor enters the product transposed where `transposed`.
struct LtMatrix {
  std::int64_t rows, cols, lead, stride;
  bool transposed = false;
};

/// result = alpha op(first) op(second) + beta result, plus a bias whose element r belongs to row r of the result, in
/// the column-major view of cuBLASLt.
struct LtProblem {
  LtMatrix first, second, result;
  std::int64_t batch;
};

/// The row-major product C [m, n] = op(A) op(B) with row strides lda, ldb, ldc: column-major storage of the same bytes
/// is C^T = op(B)^T op(A)^T, so that the factors swap: `first` is B, `second` is A. A bias [n] of C's columns is one of
/// the rows of C^T. Throws ShapeError for sizes beyond the 32 bits of cuBLAS.
inline LtProblem lt_problem(std::int64_t batch, GemmShape s, std::int64_t lda, std::int64_t ldb, std::int64_t ldc) {
  constexpr std::int64_t most = 2147483647;
  for (const std::int64_t size : {batch, s.m, s.n, s.k, lda, ldb, ldc})
    require<ShapeError>(size <= most, "gemm: ", batch, " x [", s.m, ", ", s.k, "] x [", s.k, ", ", s.n,
                        "] with row strides ", lda, ", ", ldb, ", ", ldc, " is beyond the 32-bit sizes of cuBLAS");
  LtMatrix b{s.n, s.k, ldb, s.n * s.k, false}, a{s.k, s.m, lda, s.m * s.k, false};
  if (s.trans_b) b = {s.k, s.n, ldb, s.n * s.k, true};
  if (s.trans_a) a = {s.m, s.k, lda, s.m * s.k, true};
  return {b, a, {s.n, s.m, ldc, s.m * s.n}, batch};
}

}  // namespace hypersd::ops
