// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>
#include <hypersd/ops/geometry.hpp>
#include <numeric>

namespace hypersd::ops::launch {

/// Rows of `cols` elements between matrices with different row strides, `n` neighbours at a time.
template <class T, int n>
struct CopyColumnsElements {
  T* to;
  std::int64_t to_stride;
  const T* from;
  std::int64_t from_stride, rows, cols;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return rows * cols / n; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [r, c] = divide(i, cols / n);
    const std::int64_t row = r, col = n * static_cast<std::int64_t>(c);
    copy_vector<n>(from + row * from_stride + col, to + row * to_stride + col);
  }
};

/// out[i] = in at the strides of i's position.
template <class T>
struct PermuteElements {
  PermuteGeometry g;
  const T* in;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const {
    std::int64_t n = 1;
    for (int axis = 0; axis < g.rank; ++axis) n *= g.extent[axis];
    return n;
  }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    std::int64_t from = 0;
    Index left = i;
    for (int axis = Shape::max_rank - 1; axis > 0; --axis) {  // constant bounds keep the geometry out of local memory
      if (axis >= g.rank) continue;
      const auto [rest, at] = divide(left, g.extent[axis]);
      from += static_cast<std::int64_t>(at) * g.stride[axis];
      left = rest;
    }
    if (g.rank > 0) from += static_cast<std::int64_t>(left) * g.stride[0];
    out[i] = in[from];
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T>
void copy_columns(const D& device, T* to, std::int64_t to_stride, const T* from, std::int64_t from_stride,
                  std::int64_t rows, std::int64_t cols) {
  // What divides widths and strides alike divides all rows' places.
  launch::with_vector_width<T>(
      std::gcd(cols, std::gcd(to_stride, from_stride)), {to, from}, [&]<int n>(std::integral_constant<int, n>) {
        run_elements(device, "copy_columns",
                     launch::CopyColumnsElements<T, n>{to, to_stride, from, from_stride, rows, cols});
      });
}

template <launch::KernelDevice D, class T>
void permute(const D& device, const PermuteGeometry& g, const T* in, T* out) {
  run_elements(device, "permute", launch::PermuteElements<T>{g, in, out});
}

}  // namespace hypersd::ops::backend
