// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>

/// \file
/// Layer normalisation: a thread block a row; the gradients of gamma and beta: a thread a column of a slab of rows.
/// Without `centered` the mean counts as 0: root mean square normalisation.

namespace hypersd::ops::launch {

/// The mean first, then the variance from the deviations.
template <class T, int count>
struct LayerNormKernel : RowKernel<count> {
  using A = Accumulator<T>;
  const T *in, *gamma, *beta;
  A eps;
  bool centered;
  T* out;
  A *mean, *rstd;
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, NoShared&) const {
    const std::int64_t width = this->cols;
    const T* x = in + r * width;
    T* y = out + r * width;
    const A one_over = A(1) / static_cast<A>(width);
    const A center =
        centered ? row_sum<count, A>(block, width, [&](std::int64_t c) { return widened(x[c]); }) * one_over : A(0);
    const A variance =
        row_sum<count, A>(block, width, [&](std::int64_t c) { return (x[c] - center) * (x[c] - center); }) * one_over;
    const A inverse = A(1) / math::sqrt(variance + eps);
    block.each([&](int t) {
      if (t == 0) {
        mean[r] = center;
        rstd[r] = inverse;
      }
      thread_columns<count>(t, width, [&](std::int64_t c) {
        const A z = (x[c] - center) * inverse;
        y[c] = converted<T>(z * (gamma ? A(gamma[c]) : A(1)) + (beta ? A(beta[c]) : A(0)));
      });
    });
  }
};

template <class T, int count>
struct LayerNormGradientKernel : RowKernel<count> {
  using A = Accumulator<T>;
  const T *gy, *in, *gamma;
  const A *mean, *rstd;
  bool centered;
  T* gx;
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, NoShared&) const {
    const std::int64_t width = this->cols;
    const T* x = in + r * width;
    const T* g = gy + r * width;
    T* out = gx + r * width;
    const A center = mean[r], inverse = rstd[r], one_over = A(1) / static_cast<A>(width);
    const auto slope = [&](std::int64_t c) { return gamma ? A(gamma[c]) * g[c] : A(g[c]); };
    const A s = centered ? row_sum<count, A>(block, width, slope) * one_over : A(0);
    const A p = row_sum<count, A>(block, width, [&](std::int64_t c) { return slope(c) * (x[c] - center); }) * one_over *
                inverse * inverse;
    each_column<count>(block, width,
                       [&](std::int64_t c) { out[c] = converted<T>(inverse * (slope(c) - s - (x[c] - center) * p)); });
  }
};

/// Partial gradients [slabs, cols] of gamma and beta, each over a slab of rows.
template <class T>
struct LayerNormParameterElements {
  using A = Accumulator<T>;
  std::int64_t rows, cols, slabs;
  const T *gy, *x;
  const A *mean, *rstd;
  A *gamma_parts, *beta_parts;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return slabs * cols; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [slab, c] = divide(i, cols);
    const Range range = part(rows, slabs, slab);
    A gamma = 0, beta = 0;
    for (std::int64_t r = range.begin; r < range.end; ++r) {
      const A g = gy[r * cols + c];
      gamma += (x[r * cols + c] - mean[r]) * rstd[r] * g;
      beta += g;
    }
    gamma_parts[i] = gamma;
    beta_parts[i] = beta;
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T>
void layer_norm(const D& device, std::int64_t rows, std::int64_t cols, bool centered, const T* x, const T* gamma,
                const T* beta, double eps, T* y, Accumulator<T>* mean, Accumulator<T>* rstd) {
  launch::with_row_threads(cols, [&]<int n>(std::integral_constant<int, n>) {
    run_blocks(device, "layer_norm",
               launch::LayerNormKernel<T, n>{
                   {rows, cols}, x, gamma, beta, static_cast<Accumulator<T>>(eps), centered, y, mean, rstd});
  });
}

/// `gamma_parts` and `beta_parts` [slabs, cols] are null where the parameters need no gradient.
template <launch::KernelDevice D, class T>
void layer_norm_gradient(const D& device, std::int64_t rows, std::int64_t cols, std::int64_t slabs, bool centered,
                         const T* gy, const T* x, const T* gamma, const Accumulator<T>* mean,
                         const Accumulator<T>* rstd, T* gx, Accumulator<T>* gamma_parts, Accumulator<T>* beta_parts) {
  launch::with_row_threads(cols, [&]<int n>(std::integral_constant<int, n>) {
    run_blocks(device, "layer_norm_gradient",
               launch::LayerNormGradientKernel<T, n>{{rows, cols}, gy, x, gamma, mean, rstd, centered, gx});
  });
  if (gamma_parts)
    run_elements(device, "layer_norm_gradient",
                 launch::LayerNormParameterElements<T>{rows, cols, slabs, gy, x, mean, rstd, gamma_parts, beta_parts});
}

}  // namespace hypersd::ops::backend
