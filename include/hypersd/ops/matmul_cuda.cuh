// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/context_cuda.cuh>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map_cuda.cuh>
#include <hypersd/ops/matmul_cpu.hpp>

namespace hypersd::ops::backend {

/// cuBLAS is column-major: the row-major product C = op(A) op(B) is C^T = op(B)^T op(A)^T, so the operands swap.
template <class T>
void batched_gemm(const Cuda&, std::int64_t batch, GemmShape s, T alpha, const T* a, std::int64_t lda, const T* b,
                  std::int64_t ldb, T beta, T* c, std::int64_t ldc) {
  static_assert(std::same_as<T, float> || std::same_as<T, double>, "cuBLAS products take float or double here");
  if (batch == 0 || s.m == 0 || s.n == 0) return;
  const cudaStream_t stream = hypersd::detail::CudaContext::current().stream();
  if (s.k == 0) {  // cuBLAS takes no row stride of 0
    const auto width = static_cast<std::size_t>(s.n) * sizeof(T), pitch = static_cast<std::size_t>(ldc) * sizeof(T);
    if (beta == T(0))
      hypersd::detail::cuda_check(cudaMemset2DAsync(c, pitch, 0, width, static_cast<std::size_t>(batch * s.m), stream),
                                  "gemm");
    return;
  }
  constexpr std::int64_t most = 2147483647;
  require<ShapeError>(batch <= most && s.m <= most && s.n <= most && s.k <= most, "gemm: ", batch, " x [", s.m, ", ",
                      s.k, "] x [", s.k, ", ", s.n, "] is beyond the 32-bit sizes of cuBLAS");
  const cublasHandle_t handle = hypersd::detail::CudaContext::current().cublas();
  const cublasOperation_t op_b = s.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t op_a = s.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
  const auto m = static_cast<int>(s.m), n = static_cast<int>(s.n), k = static_cast<int>(s.k);
  const auto lead_a = static_cast<int>(lda), lead_b = static_cast<int>(ldb), lead_c = static_cast<int>(ldc);
  const auto count = static_cast<int>(batch);
  cublasStatus_t status;
  if constexpr (std::same_as<T, float>) {
    status = cublasSgemmStridedBatched(handle, op_b, op_a, n, m, k, &alpha, b, lead_b, s.n * s.k, a, lead_a, s.m * s.k,
                                       &beta, c, lead_c, s.m * s.n, count);
  } else {
    status = cublasDgemmStridedBatched(handle, op_b, op_a, n, m, k, &alpha, b, lead_b, s.n * s.k, a, lead_a, s.m * s.k,
                                       &beta, c, lead_c, s.m * s.n, count);
  }
  hypersd::detail::cublas_check(status, "gemm");
}

template <class T>
void gemm(const Cuda& cuda, GemmShape s, T alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta,
          T* c, std::int64_t ldc) {
  batched_gemm(cuda, 1, s, alpha, a, lda, b, ldb, beta, c, ldc);
}

/// C[m, n] = bias (or 0) + A[m, k] W[n, k]^T.
template <class T>
void linear(const Cuda& cuda, std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* w, const T* bias,
            T* c) {
  if (bias) map(cuda, c, detail::Layout{m, n}, Identity{}, ColumnOperand<T>{bias, m});
  gemm(cuda, GemmShape{m, n, k, false, true}, T(1), a, k, w, k, bias ? T(1) : T(0), c, n);
}

}  // namespace hypersd::ops::backend
