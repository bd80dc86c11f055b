// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/matmul.hpp>
#include <hypersd/ops/geometry.hpp>

namespace hypersd::ops::backend {

/// im2col: writes the patches of output rows [row, row + rows), counted over the batch's output rows, as a matrix
/// [rows * out_width, kh * kw * in]. Channels-last makes each kernel row one contiguous run.
template <class T>
void gather_patches(const Conv2dGeometry& g, const T* x, std::int64_t row, std::int64_t rows, T* out) {
  const std::int64_t run = g.kernel_width * g.in;
  for (std::int64_t r = row; r < row + rows; ++r) {
    const std::int64_t b = r / g.out_height, top = (r % g.out_height) * g.stride - g.pad;
    const T* image = x + b * g.height * g.width * g.in;
    for (std::int64_t ox = 0; ox < g.out_width; ++ox) {
      const std::int64_t left = ox * g.stride - g.pad;
      const std::int64_t first = std::max<std::int64_t>(0, -left);
      const std::int64_t last = std::min(g.kernel_width, g.width - left);
      for (std::int64_t ky = 0; ky < g.kernel_height; ++ky, out += run) {
        const std::int64_t y = top + ky;
        if (y < 0 || y >= g.height || last <= first) {
          std::fill_n(out, run, T(0));
          continue;
        }
        const T* from = image + (y * g.width + left) * g.in;
        if (first > 0) std::fill_n(out, first * g.in, T(0));
        std::copy(from + first * g.in, from + last * g.in, out + first * g.in);
        if (last < g.kernel_width) std::fill(out + last * g.in, out + run, T(0));
      }
    }
  }
}

/// col2im: adds a patch matrix back to the image it came from; the transpose of `gather_patches`.
template <class T>
void scatter_patches(const Conv2dGeometry& g, const T* patches, std::int64_t row, std::int64_t rows, T* x) {
  const std::int64_t run = g.kernel_width * g.in;
  for (std::int64_t r = row; r < row + rows; ++r) {
    const std::int64_t b = r / g.out_height, top = (r % g.out_height) * g.stride - g.pad;
    T* image = x + b * g.height * g.width * g.in;
    for (std::int64_t ox = 0; ox < g.out_width; ++ox) {
      const std::int64_t left = ox * g.stride - g.pad;
      const std::int64_t first = std::max<std::int64_t>(0, -left) * g.in;
      const std::int64_t last = std::min(g.kernel_width, g.width - left) * g.in;
      for (std::int64_t ky = 0; ky < g.kernel_height; ++ky, patches += run) {
        const std::int64_t y = top + ky;
        if (y < 0 || y >= g.height) continue;
        T* to = image + (y * g.width + left) * g.in;
        for (std::int64_t i = first; i < last; ++i) to[i] += patches[i];
      }
    }
  }
}

/// Output rows whose patches fill about 256 KiB: they stay in the L2 cache between gathering and matmul.
template <class T>
std::int64_t patch_rows(const Conv2dGeometry& g) {
  const auto bytes = static_cast<std::int64_t>(sizeof(T)) * g.out_width * g.depth();
  return std::clamp<std::int64_t>(262144 / std::max<std::int64_t>(1, bytes), 1,
                                  std::max<std::int64_t>(1, g.batch * g.out_height));
}

/// Positions below which packing the weights for each matmul costs more than the matmul saves by staying in the cache.
inline constexpr std::int64_t few_positions = 192, many_positions = 512;

/// Whether patches are so large (hundreds of channels) that `patch_rows` hold few positions.
template <class T>
bool large_patches(const Conv2dGeometry& g) {
  return patch_rows<T>(g) * g.out_width < few_positions;
}

/// Output rows of one task of a convolution.
template <class T>
std::int64_t task_rows(const Conv2dGeometry& g) {
  if (!large_patches<T>(g)) return patch_rows<T>(g);
  const std::int64_t width = std::max<std::int64_t>(1, g.out_width);
  return std::clamp<std::int64_t>((many_positions + width - 1) / width, 1,
                                  std::max<std::int64_t>(1, g.batch * g.out_height));
}

/// Whether a matmul with few rows and a large matrix of weights is divided by columns. A function of the shape alone.
constexpr bool splits_columns(std::int64_t m, std::int64_t n, std::int64_t k) {
  return m < 1024 && n >= 128 && n * k >= (std::int64_t{1} << 18);
}

template <class T>
void conv2d(const Cpu& cpu, const Conv2dGeometry& g, const T* x, const T* w, const T* bias, T* y) {
  const std::int64_t positions = g.batch * g.positions();
  if (g.pointwise()) return linear(cpu, positions, g.out, g.in, x, w, bias, y);
  const std::int64_t total = g.batch * g.out_height;
  if (large_patches<T>(g) && splits_columns(positions, g.out, g.depth())) {
    // A small image of many channels: one matrix of patches, and tasks over output channels.
    const Tensor<T, Cpu> patches(Shape{positions, g.depth()});
    parallel_for(total, 1, [&](std::int64_t begin, std::int64_t end) {
      gather_patches(g, x, begin, end - begin, patches.data() + begin * g.out_width * g.depth());
    });
    return linear(cpu, positions, g.out, g.depth(), patches.data(), w, bias, y);
  }
  parallel_for(total, task_rows<T>(g), [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t m = (end - begin) * g.out_width;
    const Tensor<T, Cpu> patches(Shape{m, g.depth()});
    gather_patches(g, x, begin, end - begin, patches.data());
    T* out = y + begin * g.out_width * g.out;
    if (bias)
      for (std::int64_t r = 0; r < m; ++r) std::copy(bias, bias + g.out, out + r * g.out);
    gemm_serial(GemmShape{m, g.out, g.depth(), false, true}, T(1), patches.data(), g.depth(), w, g.depth(),
                bias != nullptr, out, g.out);
  });
}

template <class T>
void conv2d_input_gradient(const Cpu& cpu, const Conv2dGeometry& g, const T* gy, const T* w, T* gx) {
  if (g.pointwise()) {
    gemm(cpu, GemmShape{g.batch * g.positions(), g.in, g.out}, T(1), gy, g.out, w, g.in, T(0), gx, g.in);
    return;
  }
  if (g.keeps_size()) {
    const std::int64_t taps = g.kernel_height * g.kernel_width;
    const Tensor<T, Cpu> flipped(Shape{g.in, g.kernel_height, g.kernel_width, g.out});
    for (std::int64_t o = 0; o < g.out; ++o)
      for (std::int64_t k = 0; k < taps; ++k)
        for (std::int64_t i = 0; i < g.in; ++i)
          flipped[(i * taps + taps - 1 - k) * g.out + o] = w[(o * taps + k) * g.in + i];
    conv2d(cpu, g.transposed(), gy, flipped.data(), static_cast<const T*>(nullptr), gx);
    return;
  }
  parallel_for(g.batch, 1, [&](std::int64_t b, std::int64_t) {
    T* image = gx + b * g.height * g.width * g.in;
    std::fill_n(image, g.height * g.width * g.in, T(0));
    Conv2dGeometry one = g;
    one.batch = 1;
    const std::int64_t step = patch_rows<T>(one);
    for (std::int64_t row = 0; row < g.out_height; row += step) {
      const std::int64_t rows = std::min(step, g.out_height - row);
      const Tensor<T, Cpu> patches(Shape{rows * g.out_width, g.depth()});
      gemm_serial(GemmShape{rows * g.out_width, g.depth(), g.out}, T(1),
                  gy + (b * g.out_height + row) * g.out_width * g.out, g.out, w, g.depth(), false, patches.data(),
                  g.depth());
      scatter_patches(one, patches.data(), row, rows, image);
    }
  });
}

template <class T>
void conv2d_weight_gradient(const Cpu& cpu, const Conv2dGeometry& g, const T* gy, const T* x, T* gw) {
  if (g.pointwise()) {
    gemm(cpu, GemmShape{g.out, g.in, g.batch * g.positions(), true, false}, T(1), gy, g.out, x, g.in, T(0), gw, g.in);
    return;
  }
  // Eight slabs of the batch's rows, each with its own partial sum, added in order: the same for any thread count.
  const std::int64_t total = g.batch * g.out_height, step = patch_rows<T>(g), size = g.out * g.depth();
  if (total == 0) {
    std::fill_n(gw, size, T(0));
    return;
  }
  const std::int64_t per = (total + 7) / 8, slabs = (total + per - 1) / per;
  const Tensor<T, Cpu> partial(Shape{slabs, size});
  parallel_for(slabs, 1, [&](std::int64_t s, std::int64_t) {
    for (std::int64_t row = s * per; row < std::min(total, (s + 1) * per); row += step) {
      const std::int64_t rows = std::min(step, std::min(total, (s + 1) * per) - row), m = rows * g.out_width;
      const Tensor<T, Cpu> patches(Shape{m, g.depth()});
      gather_patches(g, x, row, rows, patches.data());
      gemm_serial(GemmShape{g.out, g.depth(), m, true, false}, T(1), gy + row * g.out_width * g.out, g.out,
                  patches.data(), g.depth(), row > s * per, partial.data() + s * size, g.depth());
    }
  });
  parallel_for(size, 4096, [&](std::int64_t begin, std::int64_t end) {
    std::copy(partial.data() + begin, partial.data() + end, gw + begin);
    for (std::int64_t s = 1; s < slabs; ++s)
      for (std::int64_t i = begin; i < end; ++i) gw[i] += partial[s * size + i];
  });
}

}  // namespace hypersd::ops::backend
