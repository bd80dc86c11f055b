// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/gemm.hpp>
#include <hypersd/ops/geometry.hpp>
#include <type_traits>

namespace hypersd::ops::backend {

/// The matmul of `s` in the kernels' terms; beta is 0 or 1.
template <class T>
GemmCall<T> gemm_call(GemmShape s, T alpha, const T* a, std::int64_t lda, const Elements<T>& b, std::int64_t ldb,
                      bool accumulate, T* c, std::int64_t ldc) {
  const GemmOperand<T> left{a, lda, s.trans_a}, right{b, ldb, !s.trans_b};
  const auto addend = accumulate ? GemmAddend<T>{c, ldc, 1} : GemmAddend<T>::nothing();
  return GemmCall<T>{s.m, s.n, s.k, left, right, alpha, addend, c, ldc};
}

/// C (+)= alpha op(A) op(B) on the calling thread, row-major with row strides lda, ldb, ldc.
template <class T>
void gemm_serial(GemmShape s, T alpha, const T* a, std::int64_t lda, const Elements<T>& b, std::int64_t ldb,
                 bool accumulate, T* c, std::int64_t ldc) {
  const GemmCall<T> call = gemm_call(s, alpha, a, lda, b, ldb, accumulate, c, ldc);
  gemm_block(call, few_dots(call));
}

template <Real T>
void gemm(const Cpu&, GemmShape s, T alpha, const T* a, std::int64_t lda, const std::type_identity_t<Elements<T>>& b,
          std::int64_t ldb, T beta, T* c, std::int64_t ldc) {
  gemm_parallel(gemm_call(s, alpha, a, lda, b, ldb, beta != T(0), c, ldc));
}

/// Whether a weight is in strips of another kernel than the selected instruction set's.
template <class T>
bool foreign_strips(const Elements<T>& w) {
  return w.strip > 0 && w.strip != gemm_kernel<T>().columns;
}

/// C[m, n] = bias (or 0) + A[m, k] W[n, k]^T.
template <Real T>
void linear(const Cpu& cpu, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
            const std::type_identity_t<Elements<T>>& w, const T* bias, T* c) {
  if (foreign_strips(w)) return linear(cpu, m, n, k, a, unpacked(w, n, k).data(), bias, c);
  const auto addend = bias ? GemmAddend<T>{bias, 0, 1} : GemmAddend<T>::nothing();
  gemm_parallel(GemmCall<T>{m, n, k, {a, k, false}, GemmOperand<T>::weight(w, k), T(1), addend, c, n});
}

template <Real T>
void batched_gemm(const Cpu&, std::int64_t batch, GemmShape s, T alpha, const T* a, std::int64_t lda, const T* b,
                  std::int64_t ldb, T beta, T* c, std::int64_t ldc) {
  gemm_parallel(gemm_call(s, alpha, a, lda, Elements<T>(b), ldb, beta != T(0), c, ldc), batch, s.m * s.k, s.n * s.k,
                s.m * s.n);
}

/// Float copies of `batch` matrices of 16-bit elements with row stride `stride`, as [batch, rows, cols].
template <Narrow T>
Tensor<float, Cpu> wide_matrices(const T* data, std::int64_t batch, std::int64_t rows, std::int64_t cols,
                                 std::int64_t stride) {
  Tensor<float, Cpu> out(Shape{batch, rows, cols});
  parallel_for(batch * rows, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r)
                   std::copy_n(data + r / rows * rows * cols + r % rows * stride, cols, out.data() + r * cols);
               });
  return out;
}
/// The reverse, rounding.
template <Narrow T>
void store_narrow(const Tensor<float, Cpu>& from, T* to, std::int64_t stride) {
  const std::int64_t rows = from.dim(1), cols = from.dim(2);
  for (std::int64_t r = 0; r < from.dim(0) * rows; ++r)
    std::transform(from.data() + r * cols, from.data() + (r + 1) * cols,
                   to + r / rows * rows * cols + r % rows * stride, [](float x) { return T(x); });
}

/// Matmul of 16-bit matrices runs in float, on copies.
template <Narrow T>
void batched_gemm(const Cpu& cpu, std::int64_t batch, GemmShape s, float alpha, const T* a, std::int64_t lda,
                  const T* b, std::int64_t ldb, float beta, T* c, std::int64_t ldc) {
  const std::int64_t rows_a = s.trans_a ? s.k : s.m, rows_b = s.trans_b ? s.n : s.k;
  const std::int64_t cols_a = s.trans_a ? s.m : s.k, cols_b = s.trans_b ? s.k : s.n;
  const auto x = wide_matrices(a, batch, rows_a, cols_a, lda), y = wide_matrices(b, batch, rows_b, cols_b, ldb);
  const auto z = beta != 0 ? wide_matrices(c, batch, s.m, s.n, ldc) : Tensor<float, Cpu>(Shape{batch, s.m, s.n});
  if (batch == 1)
    gemm(cpu, s, alpha, x.data(), cols_a, y.data(), cols_b, beta, z.data(), s.n);
  else
    batched_gemm(cpu, batch, s, alpha, x.data(), cols_a, y.data(), cols_b, beta, z.data(), s.n);
  store_narrow(z, c, ldc);
}
template <Narrow T>
void gemm(const Cpu& cpu, GemmShape s, float alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb,
          float beta, T* c, std::int64_t ldc) {
  batched_gemm(cpu, 1, s, alpha, a, lda, b, ldb, beta, c, ldc);
}
template <Narrow T>
void linear(const Cpu& cpu, std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* w, const T* bias,
            T* c) {
  const auto x = wide_matrices(a, 1, m, k, k), y = wide_matrices(w, 1, n, k, k);
  const auto shift = wide_matrices(bias, 1, 1, bias ? n : 0, n);
  const Tensor<float, Cpu> z(Shape{1, m, n});
  linear(cpu, m, n, k, x.data(), y.data(), bias ? shift.data() : nullptr, z.data());
  store_narrow(z, c, n);
}

}  // namespace hypersd::ops::backend
