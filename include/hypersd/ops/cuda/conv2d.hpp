// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cuda/fill.hpp>
#include <hypersd/ops/matmul.hpp>

/// \file
/// Convolutions as matmuls with the matrix of patches (im2col), which is built in pieces of at most 256 MiB. Everything
/// is in stream order, so one buffer serves all pieces, and sums over pieces have a fixed order.

namespace hypersd::ops::launch {

/// Neighbouring channels that one thread loads and stores at a time.
template <class T, int n>
struct alignas(sizeof(T) * n) ChannelVector {
  T v[n];
};
/// Elements of 16 bytes, the largest access of a thread.
template <class T>
inline constexpr int widest_vector = static_cast<int>(16 / sizeof(T));

/// True if rows of `channels` elements from `data` on can be loaded `n` at a time.
template <class T>
bool vectorizable(const T* data, std::int64_t channels, int n) {
  return channels % n == 0 && reinterpret_cast<std::uintptr_t>(data) % (sizeof(T) * static_cast<std::size_t>(n)) == 0;
}

/// im2col: out[r, (ky, kx, c)] for the patches r of output rows [row, row + rows), counted over the batch; `n` channels
/// at a time.
template <class T, int n>
struct PatchElements {
  Conv2dGeometry g;
  const T* x;
  std::int64_t row, rows;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return rows * g.out_width * (g.depth() / n); }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    using V = ChannelVector<T, n>;
    const auto [tap, c] = divide(i, g.in / n);
    const auto [kernel_row, kx] = divide(tap, g.kernel_width);
    const auto [patch, ky] = divide(kernel_row, g.kernel_height);
    const auto [line, ox] = divide(patch, g.out_width);
    const std::int64_t at = row + line, b = at / g.out_height, oy = at - b * g.out_height;
    const std::int64_t y = oy * g.stride - g.pad + ky, left = static_cast<std::int64_t>(ox) * g.stride - g.pad + kx;
    V value = {};
    if (y >= 0 && y < g.height && left >= 0 && left < g.width)
      value = reinterpret_cast<const V*>(x)[pixel_index(b, y, left, c, g.height, g.width, g.in / n)];
    reinterpret_cast<V*>(out)[i] = value;
  }
};

/// col2im, the transpose: input element (b, y, x, c) of samples [0, batch) sums the patch elements copied from it, in
/// the order of the patches.
template <class T>
struct PatchSumElements {
  Conv2dGeometry g;
  const T* patches;
  T* x;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.height * g.width * g.in; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.height, g.width, g.in);
    const std::int64_t below = static_cast<std::int64_t>(p.y) + g.pad, right = static_cast<std::int64_t>(p.x) + g.pad;
    Accumulator<T> total = 0;
    for (std::int64_t ky = g.kernel_height - 1; ky >= 0; --ky) {
      const std::int64_t oy = (below - ky) / g.stride;
      if (below < ky || oy * g.stride != below - ky || oy >= g.out_height) continue;
      for (std::int64_t kx = g.kernel_width - 1; kx >= 0; --kx) {
        const std::int64_t ox = (right - kx) / g.stride;
        if (right < kx || ox * g.stride != right - kx || ox >= g.out_width) continue;
        const std::int64_t patch = (p.b * g.out_height + oy) * g.out_width + ox;
        total += patches[patch * g.depth() + (ky * g.kernel_width + kx) * g.in + p.c];
      }
    }
    x[i] = converted<T>(total);
  }
};

/// Weights [out, taps, in] as [in, reversed taps, out]: the kernel of the transposed convolution.
template <class T>
struct FlippedKernelElements {
  std::int64_t out, taps, in;
  const T* w;
  T* flipped;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return out * taps * in; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [line, o] = divide(i, out);
    const auto [c, k] = divide(line, taps);
    flipped[i] = w[(static_cast<std::int64_t>(o) * taps + (taps - 1 - static_cast<std::int64_t>(k))) * in + c];
  }
};

/// Output rows whose patches one buffer holds: all `rows`, or what 256 MiB hold.
template <class T>
std::int64_t patch_buffer_rows(const Conv2dGeometry& g, std::int64_t rows) {
  const std::int64_t bytes = static_cast<std::int64_t>(sizeof(T)) * g.out_width * g.depth();
  const std::int64_t fit = (std::int64_t{256} << 20) / (bytes < 1 ? 1 : bytes);
  return fit < 1 ? 1 : fit < rows ? fit : rows;
}

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T>
void write_patches(const D& device, const Conv2dGeometry& g, const T* x, std::int64_t row, std::int64_t rows, T* out) {
  constexpr int n = launch::widest_vector<T>;
  if (launch::vectorizable(x, g.in, n))
    run_elements(device, "conv2d", launch::PatchElements<T, n>{g, x, row, rows, out});
  else
    run_elements(device, "conv2d", launch::PatchElements<T, 1>{g, x, row, rows, out});
}

template <launch::KernelDevice D, class T>
void conv2d(const D& device, const Conv2dGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  if (g.pointwise()) return linear(device, g.batch * g.positions(), g.out, g.in, x, w, bias, y);
  const std::int64_t total = g.batch * g.out_height, step = launch::patch_buffer_rows<T>(g, total);
  if (total == 0 || g.out_width == 0) return;
  const Tensor<T, D> patches(Shape{step * g.out_width, g.depth()});
  for (std::int64_t row = 0; row < total; row += step) {
    const std::int64_t rows = std::min(step, total - row);
    write_patches(device, g, x, row, rows, patches.data());
    linear(device, rows * g.out_width, g.out, g.depth(), static_cast<const T*>(patches.data()), w, bias,
           y + row * g.out_width * g.out);
  }
}

template <launch::KernelDevice D, class T>
void conv2d_input_gradient(const D& device, const Conv2dGeometry& g, const T* gy, const T* w, T* gx) {
  constexpr const char* name = "conv2d_input_gradient";
  if (g.pointwise()) {
    gemm(device, GemmShape{g.batch * g.positions(), g.in, g.out}, Accumulator<T>(1), gy, g.out, w, g.in,
         Accumulator<T>(0), gx, g.in);
    return;
  }
  if (g.batch == 0) return;
  if (g.keeps_size()) {
    const std::int64_t taps = g.kernel_height * g.kernel_width;
    const Tensor<T, D> flipped(Shape{g.in, taps, g.out});
    run_elements(device, name, launch::FlippedKernelElements<T>{g.out, taps, g.in, w, flipped.data()});
    conv2d(device, g.transposed(), gy, static_cast<const T*>(flipped.data()), static_cast<const T*>(nullptr), gx);
    return;
  }
  // Whole samples at a time, since an input pixel sums all its patches.
  const std::int64_t fit = launch::patch_buffer_rows<T>(g, g.batch * g.out_height);
  const std::int64_t step = std::max<std::int64_t>(1, fit / std::max<std::int64_t>(1, g.out_height));
  const Tensor<T, D> patches(Shape{step * g.positions(), g.depth()});
  for (std::int64_t b = 0; b < g.batch; b += step) {
    Conv2dGeometry part = g;
    part.batch = std::min(step, g.batch - b);
    gemm(device, GemmShape{part.batch * g.positions(), g.depth(), g.out}, Accumulator<T>(1),
         gy + b * g.positions() * g.out, g.out, w, g.depth(), Accumulator<T>(0), patches.data(), g.depth());
    run_elements(device, name, launch::PatchSumElements<T>{part, patches.data(), gx + b * g.height * g.width * g.in});
  }
}

template <launch::KernelDevice D, class T>
void conv2d_weight_gradient(const D& device, const Conv2dGeometry& g, const T* gy, const T* x, T* gw) {
  if (g.pointwise()) {
    gemm(device, GemmShape{g.out, g.in, g.batch * g.positions(), true, false}, Accumulator<T>(1), gy, g.out, x, g.in,
         Accumulator<T>(0), gw, g.in);
    return;
  }
  const std::int64_t total = g.batch * g.out_height, step = launch::patch_buffer_rows<T>(g, total);
  if (total == 0) return fill(device, "conv2d_weight_gradient", gw, T(0), g.out * g.depth());
  const Tensor<T, D> patches(Shape{step * g.out_width, g.depth()});
  for (std::int64_t row = 0; row < total; row += step) {
    const std::int64_t rows = std::min(step, total - row);
    write_patches(device, g, x, row, rows, patches.data());
    gemm(device, GemmShape{g.out, g.depth(), rows * g.out_width, true, false}, Accumulator<T>(1),
         gy + row * g.out_width * g.out, g.out, static_cast<const T*>(patches.data()), g.depth(),
         Accumulator<T>(row > 0 ? 1 : 0), gw, g.depth());
  }
}

}  // namespace hypersd::ops::backend
