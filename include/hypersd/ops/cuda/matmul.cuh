// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <bit>
#include <hypersd/core/storage_cuda.cuh>
#include <hypersd/ops/cuda/lt_matmul.hpp>
#include <hypersd/ops/cuda/map.cuh>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/tf32.hpp>
#include <map>

namespace hypersd::ops::backend {

namespace lt {

template <Floating T>
constexpr cudaDataType_t type_of() {
  if constexpr (std::same_as<T, float>)
    return CUDA_R_32F;
  else if constexpr (std::same_as<T, double>)
    return CUDA_R_64F;
  else if constexpr (std::same_as<T, bfloat16>)
    return CUDA_R_16BF;
  else
    return CUDA_R_16F;
}

/// Accumulation in the type itself, in float for 16-bit types; float operands are rounded to TF32 only if that is
/// allowed.
template <Floating T>
cublasComputeType_t compute_of() {
  if constexpr (std::same_as<T, double>)
    return CUBLAS_COMPUTE_64F;
  else if constexpr (std::same_as<T, float>)
    return ops::detail::tf32_allowed() ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  else
    return CUBLAS_COMPUTE_32F;
}

/// Descriptors of a matmul and the algorithm that the heuristics of cuBLASLt chose.
struct LtPlan {
  cublasLtMatmulDescOpaque_t matmul{};
  cublasLtMatrixLayoutOpaque_t a{}, b{}, c{};
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
  bool found = false;
};

inline void describe(cublasLtMatrixLayoutOpaque_t& layout, const LtLayout& m, cudaDataType_t type, std::int64_t batch) {
  using hypersd::detail::cublas_check;
  cublas_check(cublasLtMatrixLayoutInit(&layout, type, static_cast<std::uint64_t>(m.rows),
                                        static_cast<std::uint64_t>(m.cols), m.ld),
               "gemm");
  const auto count = static_cast<std::int32_t>(batch);
  cublas_check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof(count)),
               "gemm");
  cublas_check(cublasLtMatrixLayoutSetAttribute(&layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &m.stride,
                                                sizeof(m.stride)),
               "gemm");
}

template <class X>
void set(cublasLtMatmulDescOpaque_t& matmul, cublasLtMatmulDescAttributes_t what, X value) {
  hypersd::detail::cublas_check(cublasLtMatmulDescSetAttribute(&matmul, what, &value, sizeof(value)), "gemm");
}

/// Largest power of two up to 16 that an address is a multiple of.
inline std::uint32_t alignment_of(const void* p) {
  const auto bits = std::bit_cast<std::uintptr_t>(p) | 16U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

/// The plan of a matmul, created at its first use by this thread. `aligned` are the alignments of a, b and c; `bias` is
/// that of the first call.
template <Floating T>
const LtPlan& plan_of(cublasLtHandle_t handle, const LtMatmul& m, const std::array<std::uint32_t, 3>& aligned,
                      const T* bias) {
  const cublasComputeType_t compute = compute_of<T>();
  using Key = std::array<std::int64_t, 15>;
  const auto flags =
      std::int64_t{m.a.transposed} | std::int64_t{m.b.transposed} << 1 | std::int64_t{bias != nullptr} << 2;
  const Key key{type_of<T>(), compute,    m.a.rows,   m.a.cols,   m.a.ld,
                m.b.rows,     m.b.cols,   m.b.ld,     m.c.ld,     m.batch,
                flags,        aligned[0], aligned[1], aligned[2], bias ? alignment_of(bias) : 0};
  thread_local std::map<Key, LtPlan> plans;
  const auto [place, fresh] = plans.try_emplace(key);
  LtPlan& plan = place->second;
  if (!fresh) return plan;

  using hypersd::detail::cublas_check;
  cublas_check(cublasLtMatmulDescInit(&plan.matmul, compute, type_of<Accumulator<T>>()), "gemm");
  set(plan.matmul, CUBLASLT_MATMUL_DESC_TRANSA, m.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.matmul, CUBLASLT_MATMUL_DESC_TRANSB, m.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (bias) {
    set(plan.matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(plan.matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  describe(plan.a, m.a, type_of<T>(), m.batch);
  describe(plan.b, m.b, type_of<T>(), m.batch);
  describe(plan.c, m.c, type_of<T>(), m.batch);

  cublasLtMatmulPreferenceOpaque_t preference{};
  cublas_check(cublasLtMatmulPreferenceInit(&preference), "gemm");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
    cublas_check(cublasLtMatmulPreferenceSetAttribute(&preference, what, &value, sizeof(value)), "gemm");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{32} << 20);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, aligned[0]);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, aligned[1]);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, aligned[2]);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, aligned[2]);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, &plan.matmul, &plan.a, &plan.b, &plan.c, &plan.c,
                                                               &preference, 1, &best, &found);
  if (status != CUBLAS_STATUS_NOT_SUPPORTED) cublas_check(status, "gemm");
  plan.found = status == CUBLAS_STATUS_SUCCESS && found > 0;
  plan.algorithm = best.algo;
  plan.workspace = best.workspaceSize;
  return plan;
}

/// Enqueues the matmul; `a` and `b` are those of the row-major C = op(A) op(B). False if cuBLASLt has no algorithm.
template <Floating T>
bool matmul(const LtMatmul& m, Accumulator<T> alpha, const T* a, const T* b, Accumulator<T> beta, T* c, const T* bias) {
  auto& context = hypersd::detail::CudaContext::current();
  // A cuBLAS handle is one of cuBLASLt, too.
  const auto handle = reinterpret_cast<cublasLtHandle_t>(context.cublas());
  LtPlan plan = plan_of(handle, m, {alignment_of(b), alignment_of(a), alignment_of(c)}, bias);
  if (!plan.found) return false;
  if (bias) set(plan.matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  // Allocated and freed in stream order, also within a graph.
  const auto workspace = Memory<Cuda>::allocate(plan.workspace);
  hypersd::detail::cublas_check(
      cublasLtMatmul(handle, &plan.matmul, &alpha, b, &plan.a, a, &plan.b, &beta, c, &plan.c, c, &plan.c,
                     &plan.algorithm, workspace.get(), plan.workspace, context.stream()),
      "gemm");
  context.enqueued("gemm");
  return true;
}

}  // namespace lt

template <Floating T>
void batched_gemm(const Cuda&, std::int64_t batch, GemmShape s, Accumulator<T> alpha, const T* a, std::int64_t lda,
                  const T* b, std::int64_t ldb, Accumulator<T> beta, T* c, std::int64_t ldc) {
  if (batch == 0 || s.m == 0 || s.n == 0) return;
  if (s.k == 0) {  // cuBLASLt takes no leading dimension of 0
    const auto width = static_cast<std::size_t>(s.n) * sizeof(T), pitch = static_cast<std::size_t>(ldc) * sizeof(T);
    if (beta == 0)
      hypersd::detail::cuda_check(cudaMemset2DAsync(c, pitch, 0, width, static_cast<std::size_t>(batch * s.m),
                                                    hypersd::detail::CudaContext::current().stream()),
                                  "gemm");
    return;
  }
  require<DeviceError>(lt::matmul<T>(lt_matmul(batch, s, lda, ldb, ldc), alpha, a, b, beta, c, nullptr),
                       "gemm: cuBLASLt has no algorithm for ", batch, " x [", s.m, ", ", s.k, "]",
                       s.trans_a ? "^T" : "", " x [", s.k, ", ", s.n, "]", s.trans_b ? "^T" : "");
}

template <Floating T>
void gemm(const Cuda& cuda, GemmShape s, Accumulator<T> alpha, const T* a, std::int64_t lda, const T* b,
          std::int64_t ldb, Accumulator<T> beta, T* c, std::int64_t ldc) {
  batched_gemm(cuda, 1, s, alpha, a, lda, b, ldb, beta, c, ldc);
}

/// C[m, n] = bias (or 0) + A[m, k] W[n, k]^T, with the bias in the epilogue of the matmul.
template <Floating T>
void linear(const Cuda& cuda, std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* w, const T* bias,
            T* c) {
  const GemmShape s{m, n, k, false, true};
  if (m == 0 || n == 0) return;
  // cuBLASLt has no bias epilogue in double.
  if (bias && k > 0 && !std::same_as<T, double> &&
      lt::matmul<T>(lt_matmul(1, s, k, k, n), Accumulator<T>(1), a, w, Accumulator<T>(0), c, bias))
    return;
  if (bias) map(cuda, c, ops::detail::Layout{m, n}, Identity{}, ColumnOperand<T>{bias, m});
  gemm(cuda, s, Accumulator<T>(1), a, k, w, k, Accumulator<T>(bias ? 1 : 0), c, n);
}

}  // namespace hypersd::ops::backend
