// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/conv2d_small.hpp>
#include <hypersd/ops/cpu/matmul.hpp>
#include <hypersd/ops/cpu/winograd_fused.hpp>
#include <hypersd/ops/geometry.hpp>

/// \file
/// Convolutions as matmuls whose operands are gathered while they are packed
/// (implicit GEMM): no matrix of patches is ever in memory.

namespace hypersd::ops::backend {

/// The matrix [positions, depth] of an image's patches, channels last: a
/// patch's row of the kernel is one contiguous run of x, unless it reaches over
/// the border.
template <class T>
struct Patches {
  Conv2dGeometry g;
  const T* x;
  Tensor<T, Cpu> zeros;  // a run outside of the image

  Patches(const Conv2dGeometry& geometry, const T* image)
      : g(geometry), x(image), zeros(Tensor<T, Cpu>::zeros(Shape{geometry.kernel_width * geometry.in})) {}

  /// An output position, and the top left corner of its patch, which may be
  /// outside of the image.
  struct Corner {
    std::int64_t image, row, column, top, left;
  };
  [[nodiscard]] Corner corner(std::int64_t position) const {
    const std::int64_t line = position / g.out_width, row = line % g.out_height, column = position % g.out_width;
    return {line / g.out_height, row, column, row * g.stride - g.pad, column * g.stride - g.pad};
  }
  /// Moves `at` by `count` positions, at most to the start of the next row.
  void advance(Corner& at, std::int64_t count) const {
    at.column += count;
    at.left += count * g.stride;
    if (at.column < g.out_width) return;
    at.column = 0;
    at.left = -g.pad;
    at.top += g.stride;
    if (++at.row < g.out_height) return;
    at.row = 0;
    at.top = -g.pad;
    ++at.image;
  }
  /// Element `offset` of a patch's row of the kernel, which is at (y, left) of
  /// the image.
  [[nodiscard]] const T* run(const Corner& at, std::int64_t y, std::int64_t offset) const {
    return x + (((at.image * g.height + y) * g.width + at.left) * g.in + offset);
  }

  /// As an operand whose rows are positions.
  [[nodiscard]] GemmOperand<T> by_position() const { return GemmOperand<T>::computed(this, pack_positions); }
  /// As an operand whose summed columns are positions.
  [[nodiscard]] GemmOperand<T> over_positions() const { return GemmOperand<T>::computed(this, pack_elements); }

 private:
  static void pack_positions(const void* source, std::int64_t i, std::int64_t p, std::int64_t valid, std::int64_t width,
                             std::int64_t count, T* to) {
    static_cast<const Patches*>(source)->pack_rows_of_kernel(i, p, valid, width, count, to);
  }
  static void pack_elements(const void* source, std::int64_t i, std::int64_t p, std::int64_t valid, std::int64_t width,
                            std::int64_t count, T* to) {
    static_cast<const Patches*>(source)->pack_taps(i, p, valid, width, count, to);
  }

  void pack_rows_of_kernel(std::int64_t first, std::int64_t p, std::int64_t valid, std::int64_t width,
                           std::int64_t count, T* to) const {
    constexpr int most = GemmKernel<T>::most_columns;
    Corner corners[most];
    Corner next = corner(first);
    for (std::int64_t i = 0; i < width; ++i) {  // rows from `valid` on repeat the last
      corners[i] = next;
      if (i + 1 < valid) advance(next, 1);
    }
    T border[most * gemm_most_depth];  // runs that are partly outside
    const std::int64_t length = g.kernel_width * g.in;
    for (const std::int64_t end = p + count; p < end;) {
      const std::int64_t ky = p / length, from = p % length, part = std::min(length - from, end - p);
      const T* rows[most];
      for (std::int64_t i = 0; i < width; ++i) {
        const Corner& at = corners[i];
        const std::int64_t y = at.top + ky;
        const std::int64_t inside = std::max<std::int64_t>(0, -at.left) * g.in;
        const std::int64_t outside = std::min(g.kernel_width, g.width - at.left) * g.in;
        const std::int64_t begin = std::max(inside, from), stop = std::min(outside, from + part);
        if (y < 0 || y >= g.height || begin >= stop) {
          rows[i] = zeros.data();
        } else if (stop - begin == part) {
          rows[i] = run(at, y, from);
        } else {
          T* copy = border + i * part;
          std::fill_n(copy, part, T(0));
          std::copy_n(run(at, y, begin), stop - begin, copy + (begin - from));
          rows[i] = copy;
        }
      }
      transpose(rows, static_cast<int>(width), part, to, width);
      to += part * width;
      p += part;
    }
  }

  void pack_taps(std::int64_t first, std::int64_t position, std::int64_t valid, std::int64_t width, std::int64_t count,
                 T* to) const {
    if (valid < width) std::fill_n(to, count * width, T(0));
    Corner at = corner(position);
    while (count > 0) {
      // The rest of an output row: each tap of the strip reads columns of x at
      // a constant distance.
      const std::int64_t part = std::min(count, g.out_width - at.column);
      for (std::int64_t i = first; i < first + valid;) {
        const std::int64_t tap = i / g.in, channel = i % g.in, length = std::min(g.in - channel, first + valid - i);
        const std::int64_t y = at.top + tap / g.kernel_width, kx = tap % g.kernel_width, left = at.left + kx;
        // Positions [begin, end) of the part are inside of the image.
        const bool inside = y >= 0 && y < g.height;
        const std::int64_t begin = inside ? std::min(part, ceil_div(std::max<std::int64_t>(0, -left), g.stride)) : part;
        const std::int64_t end = std::clamp(ceil_div(std::max<std::int64_t>(0, g.width - left), g.stride), begin, part);
        T* y0 = to + (i - first);
        for (std::int64_t q = 0; q < begin; ++q) std::fill_n(y0 + q * width, length, T(0));
        for (std::int64_t q = end; q < part; ++q) std::fill_n(y0 + q * width, length, T(0));
        if (begin < end) {
          const T* from = run(at, y, (kx + begin * g.stride) * g.in + channel);
          copy_columns(from, g.stride * g.in, length, width, end - begin, y0 + begin * width);
        }
        i += length;
      }
      to += part * width;
      count -= part;
      advance(at, part);
    }
  }

  static void copy_columns(const T* from, std::int64_t stride, std::int64_t length, std::int64_t width,
                           std::int64_t count, T* to) {
    const auto copy = [&](auto constant) {
      for (std::int64_t q = 0; q < count; ++q)
        __builtin_memcpy(to + q * width, from + q * stride, constant * sizeof(T));
    };
    switch (length) {
      case 1: return copy(std::integral_constant<std::size_t, 1>{});
      case 4: return copy(std::integral_constant<std::size_t, 4>{});
      case 8: return copy(std::integral_constant<std::size_t, 8>{});
      case 16: return copy(std::integral_constant<std::size_t, 16>{});
      case 32: return copy(std::integral_constant<std::size_t, 32>{});
      default:
        for (std::int64_t q = 0; q < count; ++q) std::copy_n(from + q * stride, length, to + q * width);
    }
  }
};

/// The weights [out, taps, in] of a convolution as the matrix [in, taps out] of
/// its transpose: taps in reverse order.
template <class T>
struct FlippedWeights {
  Elements<T> w;
  std::int64_t in, out, taps;

  [[nodiscard]] GemmOperand<T> operand() const { return GemmOperand<T>::computed(this, pack); }

 private:
  static void pack(const void* source, std::int64_t i, std::int64_t p, std::int64_t valid, std::int64_t width,
                   std::int64_t count, T* to) {
    const auto& me = *static_cast<const FlippedWeights*>(source);
    for (const std::int64_t end = p + count; p < end;) {
      const std::int64_t tap = p / me.out, o = p % me.out, part = std::min(me.out - o, end - p);
      const Elements<T> from = me.w.from((o * me.taps + me.taps - 1 - tap) * me.in + i);
      with_tile_width(static_cast<int>(width),
                      [&](auto constant) { pack_columns<constant>(from, me.taps * me.in, valid, part, to); });
      to += part * width;
      p += part;
    }
  }
};

/// col2im: adds a patch matrix back to the image it came from; the transpose of
/// gathering them.
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

/// Output rows whose patches fill about 256 KiB: they stay in the L2 cache
/// between gathering and matmul.
template <class T>
std::int64_t patch_rows(const Conv2dGeometry& g) {
  const auto bytes = static_cast<std::int64_t>(sizeof(T)) * g.out_width * g.depth();
  return std::clamp<std::int64_t>(262144 / std::max<std::int64_t>(1, bytes), 1,
                                  std::max<std::int64_t>(1, g.batch * g.out_height));
}

template <class T>
void conv2d(const Cpu& cpu, const Conv2dGeometry& g, const T* x, const std::type_identity_t<Elements<T>>& w,
            const T* bias, T* y) {
  const std::int64_t positions = g.batch * g.positions();
  if (g.pointwise()) return linear(cpu, positions, g.out, g.in, x, w, bias, y);
  if (foreign_strips(w)) return conv2d(cpu, g, x, unpacked(w, g.out, g.depth()).data(), bias, y);
  if constexpr (std::is_same_v<T, float>) {
    if (winograd_pays(g)) return winograd_conv2d(g, x, w, false, bias, y);
    if (fused_winograd_pays(g)) return fused_winograd_conv2d(g, x, w, false, bias, y);
  }
  if (many_small_images(g)) return small_image_conv2d(g, x, w, bias, y);
  const Patches<T> patches(g, x);
  const auto addend = bias ? GemmAddend<T>{bias, 0, 1} : GemmAddend<T>::nothing();
  gemm_parallel(GemmCall<T>{positions, g.out, g.depth(), patches.by_position(), GemmOperand<T>::weight(w, g.depth()),
                            T(1), addend, y, g.out});
}

template <class T>
void conv2d_input_gradient(const Cpu& cpu, const Conv2dGeometry& g, const T* gy,
                           const std::type_identity_t<Elements<T>>& w, T* gx) {
  if (g.pointwise()) {
    gemm(cpu, GemmShape{g.batch * g.positions(), g.in, g.out}, T(1), gy, g.out, w, g.in, T(0), gx, g.in);
    return;
  }
  if (many_small_images(g)) return small_image_input_gradient(g, gy, w, gx);
  if (g.keeps_size()) {
    if constexpr (std::is_same_v<T, float>) {
      if (winograd_pays(g.transposed())) return winograd_conv2d(g.transposed(), gy, w, true, nullptr, gx);
      if (fused_winograd_pays(g.transposed())) return fused_winograd_conv2d(g.transposed(), gy, w, true, nullptr, gx);
    }
    const Patches<T> patches(g.transposed(), gy);
    const FlippedWeights<T> flipped{w, g.in, g.out, g.kernel_height * g.kernel_width};
    gemm_parallel(GemmCall<T>{g.batch * g.positions(), g.in, g.kernel_height * g.kernel_width * g.out,
                              patches.by_position(), flipped.operand(), T(1), GemmAddend<T>::nothing(), gx, g.in});
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
  const std::int64_t positions = g.batch * g.positions();
  if (g.pointwise()) {
    gemm(cpu, GemmShape{g.out, g.in, positions, true, false}, T(1), gy, g.out, x, g.in, T(0), gw, g.in);
    return;
  }
  if (many_small_images(g)) return small_image_weight_gradient(cpu, g, gy, x, gw);
  if constexpr (std::is_same_v<T, float>)
    if (fused_winograd_pays(g)) return fused_winograd_weight_gradient(g, gy, x, gw);
  const Patches<T> patches(g, x);
  gemm_parallel(GemmCall<T>{g.out,
                            g.depth(),
                            positions,
                            {gy, g.out, true},
                            patches.over_positions(),
                            T(1),
                            GemmAddend<T>::nothing(),
                            gw,
                            g.depth()});
}

}  // namespace hypersd::ops::backend
