// SPDX-License-Identifier: Apache-2.0
#pragma once

#if defined(__CUDACC__) && !defined(EIGEN_NO_CUDA)
#define EIGEN_NO_CUDA  // Eigen computes on the host only; without this Eigen marks every function for the device
#endif
#include <Eigen/Core>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/geometry.hpp>
#include <vector>

namespace hypersd::ops::backend {

/// One serial matmul by Eigen: C (+)= alpha op(A) op(B), row-major with row strides lda, ldb, ldc.
template <class T>
void gemm_serial(GemmShape s, T alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, bool accumulate,
                 T* c, std::int64_t ldc) {
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  using Const = Eigen::Map<const Matrix, 0, Stride>;
  Eigen::Map<Matrix, 0, Stride> out(c, s.m, s.n, Stride(ldc));
  if (!accumulate) out.setZero();
  const Const x(a, s.trans_a ? s.k : s.m, s.trans_a ? s.m : s.k, Stride(lda));
  const Const y(b, s.trans_b ? s.n : s.k, s.trans_b ? s.k : s.n, Stride(ldb));
  if (s.trans_a && s.trans_b)
    out.noalias() += alpha * (x.transpose() * y.transpose());
  else if (s.trans_a)
    out.noalias() += alpha * (x.transpose() * y);
  else if (s.trans_b)
    out.noalias() += alpha * (x * y.transpose());
  else
    out.noalias() += alpha * (x * y);
}

/// Rows of a task: a function of the shape alone, so that the number of threads changes no rounding.
inline std::int64_t gemm_rows(std::int64_t m, std::int64_t work_per_row) {
  const std::int64_t least = std::max<std::int64_t>(16, 100000 / std::max<std::int64_t>(1, work_per_row));
  return std::max(least, (m + 7) / 8);
}

template <Real T>
void gemm(const Cpu&, GemmShape s, T alpha, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta, T* c,
          std::int64_t ldc) {
  const bool accumulate = beta != T(0);
  if (s.k >= 4 * (s.m + s.n) && s.m * s.n <= 65536 && s.k >= 1024) {
    // A long k and a small result (weight gradients): eight slabs of k, added in order.
    constexpr std::int64_t slabs = 8;
    const std::int64_t per = (s.k + slabs - 1) / slabs;
    const std::int64_t count = (s.k + per - 1) / per;
    Tensor<T, Cpu> partial(Shape{count, s.m, s.n});
    parallel_for(count, 1, [&](std::int64_t i, std::int64_t) {
      GemmShape part = s;
      part.k = std::min(per, s.k - i * per);
      gemm_serial(part, alpha, a + i * per * (s.trans_a ? lda : 1), lda, b + i * per * (s.trans_b ? 1 : ldb), ldb,
                  false, partial.data() + i * s.m * s.n, s.n);
    });
    for (std::int64_t r = 0; r < s.m; ++r) {
      T* row = c + r * ldc;
      if (!accumulate) std::fill_n(row, s.n, T(0));
      for (std::int64_t i = 0; i < count; ++i) {
        const T* p = partial.data() + (i * s.m + r) * s.n;
        for (std::int64_t j = 0; j < s.n; ++j) row[j] += p[j];
      }
    }
    return;
  }
  parallel_for(s.m, gemm_rows(s.m, s.n * s.k), [&](std::int64_t begin, std::int64_t end) {
    GemmShape part = s;
    part.m = end - begin;
    gemm_serial(part, alpha, a + begin * (s.trans_a ? 1 : lda), lda, b, ldb, accumulate, c + begin * ldc, ldc);
  });
}

/// Whether a matmul with few rows and a large matrix of weights is divided by columns: each task then packs its own
/// part of the weights, where tasks of rows would pack all of them again. A function of the shape alone.
constexpr bool splits_columns(std::int64_t m, std::int64_t n, std::int64_t k) {
  return m < 1024 && n >= 128 && n * k >= (std::int64_t{1} << 18);
}

/// C[m, n] = bias (or 0) + A[m, k] W[n, k]^T.
template <Real T>
void linear(const Cpu&, std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* w, const T* bias, T* c) {
  if (splits_columns(m, n, k)) {
    const std::int64_t columns = (n + 127) / 128 * 16;  // eighths of n in sixteens
    parallel_for(n, columns, [&](std::int64_t begin, std::int64_t end) {
      if (bias)
        for (std::int64_t r = 0; r < m; ++r) std::copy(bias + begin, bias + end, c + r * n + begin);
      gemm_serial(GemmShape{m, end - begin, k, false, true}, T(1), a, k, w + begin * k, k, bias != nullptr, c + begin,
                  n);
    });
    return;
  }
  parallel_for(m, gemm_rows(m, n * k), [&](std::int64_t begin, std::int64_t end) {
    if (bias)
      for (std::int64_t r = begin; r < end; ++r) std::copy(bias, bias + n, c + r * n);
    gemm_serial(GemmShape{end - begin, n, k, false, true}, T(1), a + begin * k, k, w, k, bias != nullptr, c + begin * n,
                n);
  });
}

template <Real T>
void batched_gemm(const Cpu&, std::int64_t batch, GemmShape s, T alpha, const T* a, std::int64_t lda, const T* b,
                  std::int64_t ldb, T beta, T* c, std::int64_t ldc) {
  const std::int64_t grain = std::max<std::int64_t>(1, 50000 / std::max<std::int64_t>(1, s.m * s.n * s.k));
  parallel_for(batch, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      gemm_serial(s, alpha, a + i * s.m * s.k, lda, b + i * s.n * s.k, ldb, beta != T(0), c + i * s.m * s.n, ldc);
  });
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
