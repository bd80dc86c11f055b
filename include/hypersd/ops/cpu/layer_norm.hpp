// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/math.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/vectorized.hpp>
#include <vector>

namespace hypersd::ops {

/// Slabs of rows that have their own partial sums of the parameter gradients.
inline std::int64_t layer_norm_slabs(std::int64_t rows) { return std::clamp<std::int64_t>(rows / 256, 1, 32); }

namespace backend {

/// Sum over columns [0, cols) of f(c) sixteen at a time, and of tail(c) for the columns left over.
template <class V, class F, class Tail>
__attribute__((always_inline)) inline auto sum_row(std::int64_t cols, const F& f, const Tail& tail) {
  V total = V::splat(0);
  std::int64_t c = 0;
  for (; c + V::count <= cols; c += V::count) total = total + f(c);
  auto out = total.sum();
  for (; c < cols; ++c) out += tail(c);
  return out;
}

/// One row: its mean, 1 / standard deviation and normalised values.
template <class V, class T>
__attribute__((always_inline)) inline void layer_norm_row(std::int64_t cols, bool centered, const T* in, const T* a,
                                                          const T* b, T eps, T* out, T& mean, T& rstd) {
  const T one_over = T(1) / static_cast<T>(cols);
  T center = 0;
  if (centered)
    center = sum_row<V>(
                 cols, [=](std::int64_t c) __attribute__((always_inline)) { return V::load(in + c); },
                 [=](std::int64_t c) { return in[c]; }) *
             one_over;
  const V middle = V::splat(center);
  const T variance = sum_row<V>(
                         cols,
                         [&](std::int64_t c) __attribute__((always_inline)) {
                           const V d = V::load(in + c) - middle;
                           return d * d;
                         },
                         [=](std::int64_t c) { return (in[c] - center) * (in[c] - center); }) *
                     one_over;
  const T inverse = T(1) / math::sqrt(variance + eps);
  mean = center;
  rstd = inverse;
  const V factor = V::splat(inverse);
  std::int64_t c = 0;
  for (; c + V::count <= cols; c += V::count) {
    V z = V::load(b + c);
    z.add_product((V::load(in + c) - middle) * factor, V::load(a + c));
    z.store(out + c);
  }
  for (; c < cols; ++c) out[c] = (in[c] - center) * inverse * a[c] + b[c];
}

/// Without `centered` the mean counts as 0: root mean square normalization.
template <class T>
void layer_norm(const Cpu&, std::int64_t rows, std::int64_t cols, bool centered, const T* x, const T* gamma,
                const T* beta, double eps, T* y, T* mean, T* rstd) {
  std::vector<T> scale(static_cast<std::size_t>(cols), T(1)), shift(static_cast<std::size_t>(cols), T(0));
  if (gamma) std::copy(gamma, gamma + cols, scale.begin());
  if (beta) std::copy(beta, beta + cols, shift.begin());
  const T* a = scale.data();
  const T* b = shift.data();
  parallel_for(rows, std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 vectorized_lanes([&](auto bytes) __attribute__((always_inline)) {
                   for (std::int64_t r = begin; r < end; ++r)
                     layer_norm_row<Lanes<T, bytes>>(cols, centered, x + r * cols, a, b, static_cast<T>(eps),
                                                     y + r * cols, mean[r], rstd[r]);
                 });
               });
}

/// Adds `rows` rows to the gradients of sixteen channels of gamma and beta.
template <class V, class T>
__attribute__((always_inline)) inline void add_layer_norm_parameters(std::int64_t rows, std::int64_t stride,
                                                                     const T* gy, const T* x, const T* mean,
                                                                     const T* rstd, T* ggamma, T* gbeta) {
  V sum = V::load(gbeta), product = V::load(ggamma);
  for (std::int64_t r = 0; r < rows; ++r) {
    const V g = V::load(gy + r * stride);
    sum = sum + g;
    product.add_product((V::load(x + r * stride) - V::splat(mean[r])) * V::splat(rstd[r]), g);
  }
  sum.store(gbeta);
  product.store(ggamma);
}

/// Gradient of one row with respect to its input.
template <class V, class T>
__attribute__((always_inline)) inline void layer_norm_row_gradient(std::int64_t cols, bool centered, const T* g,
                                                                   const T* in, const T* a, T center, T inverse,
                                                                   T* out) {
  const T one_over = T(1) / static_cast<T>(cols);
  const V middle = V::splat(center);
  T s = 0;
  if (centered)
    s = sum_row<V>(
            cols, [=](std::int64_t c) __attribute__((always_inline)) { return V::load(a + c) * V::load(g + c); },
            [=](std::int64_t c) { return a[c] * g[c]; }) *
        one_over;
  const T p = sum_row<V>(
                  cols,
                  [&](std::int64_t c) __attribute__((always_inline)) {
                    return V::load(a + c) * V::load(g + c) * (V::load(in + c) - middle);
                  },
                  [=](std::int64_t c) { return a[c] * g[c] * (in[c] - center); }) *
              one_over * inverse * inverse;
  const V mean_gradient = V::splat(s), slope = V::splat(p), factor = V::splat(inverse);
  std::int64_t c = 0;
  for (; c + V::count <= cols; c += V::count)
    ((V::load(a + c) * V::load(g + c) - mean_gradient - (V::load(in + c) - middle) * slope) * factor).store(out + c);
  for (; c < cols; ++c) out[c] = inverse * (a[c] * g[c] - s - (in[c] - center) * p);
}

/// `gamma_parts` and `beta_parts` ([slabs, cols], or null) receive the partial sums of each slab.
template <class T>
void layer_norm_gradient(const Cpu&, std::int64_t rows, std::int64_t cols, std::int64_t slabs, bool centered,
                         const T* gy, const T* x, const T* gamma, const T* mean, const T* rstd, T* gx, T* gamma_parts,
                         T* beta_parts) {
  std::vector<T> scale(static_cast<std::size_t>(cols), T(1));
  if (gamma) std::copy(gamma, gamma + cols, scale.begin());
  const std::int64_t per = (rows + slabs - 1) / slabs;
  // Rows that stay in the L1 cache between the sweep along rows and the one down the columns.
  const std::int64_t block = std::clamp<std::int64_t>(4096 / std::max<std::int64_t>(1, cols), 1, 64);
  parallel_for(slabs, 1, [&](std::int64_t slab, std::int64_t) {
    if (gamma_parts) {
      std::fill_n(gamma_parts + slab * cols, cols, T(0));
      std::fill_n(beta_parts + slab * cols, cols, T(0));
    }
    const std::int64_t last = std::min(rows, (slab + 1) * per);
    vectorized_lanes([&](auto bytes) __attribute__((always_inline)) {
      using V = Lanes<T, bytes>;
      for (std::int64_t begin = slab * per; begin < last; begin += block) {
        const std::int64_t end = std::min(last, begin + block);
        for (std::int64_t r = begin; r < end; ++r)
          layer_norm_row_gradient<V>(cols, centered, gy + r * cols, x + r * cols, scale.data(), mean[r], rstd[r],
                                     gx + r * cols);
        if (!gamma_parts) continue;
        T* ggamma = gamma_parts + slab * cols;
        T* gbeta = beta_parts + slab * cols;
        std::int64_t c = 0;
        for (; c + V::count <= cols; c += V::count)
          add_layer_norm_parameters<V>(end - begin, cols, gy + begin * cols + c, x + begin * cols + c, mean + begin,
                                       rstd + begin, ggamma + c, gbeta + c);
        for (std::int64_t r = begin; r < end; ++r) {
          for (std::int64_t d = c; d < cols; ++d) {
            ggamma[d] += gy[r * cols + d] * (x[r * cols + d] - mean[r]) * rstd[r];
            gbeta[d] += gy[r * cols + d];
          }
        }
      }
    });
  });
}

}  // namespace backend

}  // namespace hypersd::ops
