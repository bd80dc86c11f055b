// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/copy.hpp>
#include <hypersd/ops/cpu/gated.hpp>
#include <hypersd/ops/cpu/gather.hpp>
#include <hypersd/ops/cpu/resample.hpp>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>
#include <numeric>

/// \file
/// Operations of which a CUDA thread does one element: `size()` elements, and what is done for element i. Nothing here
/// needs CUDA, so that CPU tests run whole grids. Sums go in the order of the CPU backend.

namespace hypersd::ops::launch {

template <class T>
struct FillElements {
  T* out;
  T value;
  std::int64_t count;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return count; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    out[i] = value;
  }
};

/// out[i, c] = table[ids[i], c]; zeros for an id outside the table, because a kernel cannot throw.
template <class T>
struct EmbeddingElements {
  const T* table;
  std::int64_t rows, cols;
  const std::int32_t* ids;
  std::int64_t count;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return count * cols; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [r, c] = divide(i, cols);
    const std::int64_t id = ids[r];
    out[i] = id >= 0 && id < rows ? table[id * cols + c] : T(0);
  }
};

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
    read_together<n>(from, a);
    read_together<n>(from + cols, gate);
    for (int k = 0; k < n; ++k) a[k] *= f(gate[k]);
    write_together<n>(a, y + n * static_cast<std::int64_t>(i));
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
    read_together<n>(gy + n * static_cast<std::int64_t>(i), g);
    read_together<n>(x + at, a);
    read_together<n>(x + at + cols, gate);
    for (int k = 0; k < n; ++k) {
      of_a[k] = g[k] * f(gate[k]);
      a[k] *= g[k] * f.template d<0>(gate[k]);
    }
    write_together<n>(of_a, gx + at);
    write_together<n>(a, gx + at + cols);
  }
};

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
    copy_together<n>(from + row * from_stride + col, to + row * to_stride + col);
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

/// Batch, row, column and channel of element i of a picture [batch, height, width, channels].
template <class Index>
struct Pixel {
  Index b, y, x, c;
};
template <class Index>
HYPERSD_HD constexpr Pixel<Index> pixel(Index i, std::int64_t height, std::int64_t width, std::int64_t channels) {
  const auto [column, c] = divide(i, channels);
  const auto [line, x] = divide(column, width);
  const auto [b, y] = divide(line, height);
  return {b, y, x, c};
}

/// Flat index of a pixel's channel.
HYPERSD_HD constexpr std::int64_t pixel_index(std::int64_t b, std::int64_t y, std::int64_t x, std::int64_t c,
                                              std::int64_t height, std::int64_t width, std::int64_t channels) {
  return ((b * height + y) * width + x) * channels + c;
}

/// `n` neighbouring channels at a time.
template <class T, int n>
struct UpsampleElements {
  ResampleGeometry g;
  const T* x;
  T* y;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.big_height * g.big_width * g.channels / n; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.big_height, g.big_width, g.channels / n);
    const std::int64_t from = pixel_index(p.b, p.y * g.height / g.big_height, p.x * g.width / g.big_width, p.c,
                                          g.height, g.width, g.channels / n);
    copy_together<n>(x + n * from, y + n * static_cast<std::int64_t>(i));
  }
};

/// Each small pixel sums the big ones that read it: big positions i with floor(i small / big) = at.
template <class T>
struct UpsampleGradientElements {
  ResampleGeometry g;
  const T* gy;
  T* gx;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.height * g.width * g.channels; }
  [[nodiscard]] HYPERSD_HD static constexpr std::int64_t first_reader(std::int64_t at, std::int64_t small,
                                                                      std::int64_t big) {
    return (at * big + small - 1) / small;
  }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.height, g.width, g.channels);
    const std::int64_t top = p.y, left = p.x;
    const std::int64_t bottom = first_reader(top + 1, g.height, g.big_height);
    const std::int64_t right = first_reader(left + 1, g.width, g.big_width);
    Accumulator<T> total = 0;
    for (std::int64_t r = first_reader(top, g.height, g.big_height); r < bottom; ++r)
      for (std::int64_t c = first_reader(left, g.width, g.big_width); c < right; ++c)
        total += gy[pixel_index(p.b, r, c, p.c, g.big_height, g.big_width, g.channels)];
    gx[i] = converted<T>(total);
  }
};

template <class T>
struct DownsampleElements {
  ResampleGeometry g;
  const T* x;
  T* y;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.height * g.width * g.channels; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.height, g.width, g.channels);
    const std::int64_t top = p.y, left = p.x, line = g.big_width * g.channels;
    const T* from = x + pixel_index(p.b, 2 * top, 2 * left, p.c, g.big_height, g.big_width, g.channels);
    y[i] = converted<T>(Accumulator<T>(0.25) * ((from[0] + from[g.channels]) + (from[line] + from[line + g.channels])));
  }
};

template <class T>
struct DownsampleGradientElements {
  ResampleGeometry g;
  const T* gy;
  T* gx;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.big_height * g.big_width * g.channels; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.big_height, g.big_width, g.channels);
    const std::int64_t from = pixel_index(p.b, p.y / 2, p.x / 2, p.c, g.height, g.width, g.channels);
    gx[i] = converted<T>(Accumulator<T>(0.25) * gy[from]);
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T>
void embedding(const D& device, const T* table, std::int64_t rows, std::int64_t cols, const std::int32_t* ids,
               std::int64_t count, T* out) {
  run_elements(device, "embedding", launch::EmbeddingElements<T>{table, rows, cols, ids, count, out});
}

template <launch::KernelDevice D, class F, class T>
void gated(const D& device, const F& f, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  launch::with_together<T>(cols, {x, y}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, "gated", launch::GatedElements<F, T, n>{f, rows, cols, x, y});
  });
}

template <launch::KernelDevice D, class F, class T>
void gated_gradient(const D& device, const F& f, std::int64_t rows, std::int64_t cols, const T* gy, const T* x, T* gx) {
  launch::with_together<T>(cols, {gy, x, gx}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, "gated_gradient", launch::GatedGradientElements<F, T, n>{f, rows, cols, gy, x, gx});
  });
}

template <launch::KernelDevice D, class T>
void copy_columns(const D& device, T* to, std::int64_t to_stride, const T* from, std::int64_t from_stride,
                  std::int64_t rows, std::int64_t cols) {
  // What divides widths and strides alike divides all rows' places.
  launch::with_together<T>(
      std::gcd(cols, std::gcd(to_stride, from_stride)), {to, from}, [&]<int n>(std::integral_constant<int, n>) {
        run_elements(device, "copy_columns",
                     launch::CopyColumnsElements<T, n>{to, to_stride, from, from_stride, rows, cols});
      });
}

template <launch::KernelDevice D, class T>
void permute(const D& device, const PermuteGeometry& g, const T* in, T* out) {
  run_elements(device, "permute", launch::PermuteElements<T>{g, in, out});
}

template <launch::KernelDevice D, class T>
void upsample_nearest(const D& device, const ResampleGeometry& g, const T* x, T* y) {
  launch::with_together<T>(g.channels, {x, y}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, "upsample_nearest", launch::UpsampleElements<T, n>{g, x, y});
  });
}

template <launch::KernelDevice D, class T>
void upsample_nearest_gradient(const D& device, const ResampleGeometry& g, const T* gy, T* gx) {
  run_elements(device, "upsample_nearest_gradient", launch::UpsampleGradientElements<T>{g, gy, gx});
}

template <launch::KernelDevice D, class T>
void downsample_mean2(const D& device, const ResampleGeometry& g, const T* x, T* y) {
  run_elements(device, "downsample_mean2", launch::DownsampleElements<T>{g, x, y});
}

template <launch::KernelDevice D, class T>
void downsample_mean2_gradient(const D& device, const ResampleGeometry& g, const T* gy, T* gx) {
  run_elements(device, "downsample_mean2_gradient", launch::DownsampleGradientElements<T>{g, gy, gx});
}

}  // namespace hypersd::ops::backend
