// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/matmul.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/matmul.cuh>
#endif

namespace hypersd::ops {

/// C = alpha op(A) op(B) + beta C for matrices; op is the transpose if `trans_a` / `trans_b`, beta is 0 or 1. 16-bit
/// types are accumulated in float and rounded once. Throws ShapeError with all three shapes.
template <class T, class D>
void gemm(const Tensor<T, D>& c, const Tensor<T, D>& a, bool trans_a, const Tensor<T, D>& b, bool trans_b,
          Accumulator<T> alpha = 1, Accumulator<T> beta = 0) {
  const bool matrices = a.rank() == 2 && b.rank() == 2 && c.rank() == 2;
  require<ShapeError>(matrices, "gemm: ", a.shape(), " x ", b.shape(), " -> ", c.shape(), ": not matrices");
  const std::int64_t m = a.dim(trans_a ? 1 : 0), k = a.dim(trans_a ? 0 : 1);
  const std::int64_t n = b.dim(trans_b ? 0 : 1), kb = b.dim(trans_b ? 1 : 0);
  require<ShapeError>(k == kb && c.dim(0) == m && c.dim(1) == n, "gemm: ", a.shape(), trans_a ? "^T" : "", " x ",
                      b.shape(), trans_b ? "^T" : "", " -> ", c.shape());
  backend::gemm(D{}, GemmShape{m, n, k, trans_a, trans_b}, alpha, a.data(), a.dim(1), b.data(), b.dim(1), beta,
                c.data(), n);
}

/// op(A) op(B) as a new matrix. Throws ShapeError.
template <class T, class D>
Tensor<T, D> matmul(const Tensor<T, D>& a, const Tensor<T, D>& b, bool trans_a = false, bool trans_b = false) {
  require<ShapeError>(a.rank() == 2 && b.rank() == 2, "matmul: ", a.shape(), " x ", b.shape(), ": not matrices");
  Tensor<T, D> c(Shape{a.dim(trans_a ? 1 : 0), b.dim(trans_b ? 0 : 1)});
  gemm(c, a, trans_a, b, trans_b);
  return c;
}

/// C[i] = alpha op(A[i]) op(B[i]) + beta C[i] for every i of the leading axis of three rank-3 tensors. Throws
/// ShapeError.
template <class T, class D>
void batched_gemm(const Tensor<T, D>& c, const Tensor<T, D>& a, bool trans_a, const Tensor<T, D>& b, bool trans_b,
                  Accumulator<T> alpha = 1, Accumulator<T> beta = 0) {
  const bool ranks = a.rank() == 3 && b.rank() == 3 && c.rank() == 3;
  require<ShapeError>(ranks && a.dim(0) == b.dim(0) && a.dim(0) == c.dim(0), "batched_gemm: ", a.shape(), " x ",
                      b.shape(), " -> ", c.shape());
  const std::int64_t m = a.dim(trans_a ? 2 : 1), k = a.dim(trans_a ? 1 : 2);
  const std::int64_t n = b.dim(trans_b ? 1 : 2), kb = b.dim(trans_b ? 2 : 1);
  require<ShapeError>(k == kb && c.dim(1) == m && c.dim(2) == n, "batched_gemm: ", a.shape(), trans_a ? "^T" : "",
                      " x ", b.shape(), trans_b ? "^T" : "", " -> ", c.shape());
  backend::batched_gemm(D{}, a.dim(0), GemmShape{m, n, k, trans_a, trans_b}, alpha, a.data(), a.dim(2), b.data(),
                        b.dim(2), beta, c.data(), n);
}

}  // namespace hypersd::ops
