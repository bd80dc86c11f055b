// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>

namespace hypersd::ops::launch {

/// y = a f(g) for rows (a, g) of 2 cols elements, `n` neighbours at a time.
template <class F, class T, int n>
struct GatedElements {
  using A = Accumulator<T>;
  F f;
  std::int64_t rows, cols;
  const T* x;
  T* y;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return rows * cols / n; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [r, c] = divide(i, cols / n);
    const T* from = x + 2 * static_cast<std::int64_t>(r) * cols + n * static_cast<std::int64_t>(c);
    A a[n], gate[n];
    load_vectorized<n>(from, a);
    load_vectorized<n>(from + cols, gate);
    for (int k = 0; k < n; ++k) a[k] *= f(gate[k]);
    store_vectorized<n>(a, y + n * static_cast<std::int64_t>(i));
  }
};

template <class F, class T, int n>
struct GatedGradientElements {
  using A = Accumulator<T>;
  F f;
  std::int64_t rows, cols;
  const T *gy, *x;
  T* gx;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return rows * cols / n; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [r, c] = divide(i, cols / n);
    const std::int64_t at = 2 * static_cast<std::int64_t>(r) * cols + n * static_cast<std::int64_t>(c);
    A g[n], a[n], gate[n], of_a[n];
    load_vectorized<n>(gy + n * static_cast<std::int64_t>(i), g);
    load_vectorized<n>(x + at, a);
    load_vectorized<n>(x + at + cols, gate);
    for (int k = 0; k < n; ++k) {
      of_a[k] = g[k] * f(gate[k]);
      a[k] *= g[k] * f.template d<0>(gate[k]);
    }
    store_vectorized<n>(of_a, gx + at);
    store_vectorized<n>(a, gx + at + cols);
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class F, class T>
void gated(const D& device, const F& f, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  launch::with_vector_width<T>(cols, {x, y}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, "gated", launch::GatedElements<F, T, n>{f, rows, cols, x, y});
  });
}

template <launch::KernelDevice D, class F, class T>
void gated_gradient(const D& device, const F& f, std::int64_t rows, std::int64_t cols, const T* gy, const T* x, T* gx) {
  launch::with_vector_width<T>(cols, {gy, x, gx}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, "gated_gradient", launch::GatedGradientElements<F, T, n>{f, rows, cols, gy, x, gx});
  });
}

}  // namespace hypersd::ops::backend
