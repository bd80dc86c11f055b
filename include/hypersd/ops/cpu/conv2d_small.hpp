// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/matmul.hpp>
#include <hypersd/ops/geometry.hpp>

/// \file
/// Convolutions of images with fewer pixels than the kernel has taps, where
/// most taps are outside of the image: one matmul with a matrix [output
/// positions, out] x [input positions, in] of the taps between each two
/// positions.

namespace hypersd::ops::backend {

/// Whether images have fewer pixels than the kernel has taps, and are many, so
/// that ordering the weights pays.
inline bool many_small_images(const Conv2dGeometry& g) {
  return g.height * g.width < g.kernel_height * g.kernel_width && g.batch >= 32;
}

/// The weights [out, taps, in] of a convolution as the matrix of its whole
/// image, packed part by part.
template <class T>
struct ImageMatrix {
  Conv2dGeometry g;
  Elements<T> w;

  [[nodiscard]] std::int64_t rows() const { return g.positions() * g.out; }
  [[nodiscard]] std::int64_t columns() const { return g.height * g.width * g.in; }
  /// The tap with which input position `from` contributes to output position
  /// `to`; -1: none.
  [[nodiscard]] std::int64_t tap(std::int64_t from, std::int64_t to) const {
    const std::int64_t y = from / g.width - to / g.out_width * g.stride + g.pad,
                       x = from % g.width - to % g.out_width * g.stride + g.pad;
    const bool inside = y >= 0 && y < g.kernel_height && x >= 0 && x < g.kernel_width;
    return inside ? y * g.kernel_width + x : -1;
  }
  /// As an operand of the convolution, whose summed columns are (input
  /// position, channel).
  [[nodiscard]] GemmOperand<T> forward() const { return GemmOperand<T>::computed(this, pack_forward); }
  /// As an operand of the gradient, whose summed columns are (output position,
  /// channel).
  [[nodiscard]] GemmOperand<T> backward() const { return GemmOperand<T>::computed(this, pack_backward); }

 private:
  [[nodiscard]] Elements<T> run(std::int64_t channel, std::int64_t tap, std::int64_t first) const {
    return w.from((channel * g.kernel_height * g.kernel_width + tap) * g.in + first);
  }

  /// `pack_forward` for weights in strips of `width` rows, of which each column is contiguous.
  void pack_strips(std::int64_t i, std::int64_t p, std::int64_t valid, std::int64_t width, std::int64_t count,
                   T* to) const {
    for (const std::int64_t end = p + count; p < end;) {
      const std::int64_t from = p / g.in, channel = p % g.in, part = std::min(g.in - channel, end - p);
      for (std::int64_t r = 0; r < valid;) {
        const std::int64_t o = (i + r) % g.out, at = tap(from, (i + r) / g.out), lane = o % width,
                           length = std::min({width - lane, g.out - o, valid - r});
        const Elements<T> rows =
            w.from((o - lane) * g.depth() + (std::max<std::int64_t>(at, 0) * g.in + channel) * width);
        if (at >= 0 && length == width)
          rows.copy(part * width, to);
        else
          for (std::int64_t k = 0; k < part; ++k) {
            T* column = to + k * width + r;
            if (at < 0)
              std::fill_n(column, length, T(0));
            else
              rows.from(k * width + lane).copy(length, column);
          }
        r += length;
      }
      if (valid < width)  // their results are not stored
        for (std::int64_t k = 0; k < part; ++k) std::fill_n(to + k * width + valid, width - valid, T(0));
      to += part * width;
      p += part;
    }
  }
  static void pack_forward(const void* source, std::int64_t i, std::int64_t p, std::int64_t valid, std::int64_t width,
                           std::int64_t count, T* to) {
    const auto& me = *static_cast<const ImageMatrix*>(source);
    if (me.w.strip > 0) return me.pack_strips(i, p, valid, width, count, to);
    constexpr std::int64_t most = 64;  // columns at once
    alignas(64) T part_of[GemmKernel<T>::most_columns * most];
    const T* rows[GemmKernel<T>::most_columns];
    for (const std::int64_t end = p + count; p < end;) {
      const std::int64_t from = p / me.g.in, channel = p % me.g.in, part = std::min({me.g.in - channel, end - p, most});
      for (std::int64_t r = 0; r < width; ++r) {  // rows from `valid` on repeat the last
        const std::int64_t row = i + std::min(r, valid - 1), tap = me.tap(from, row / me.g.out);
        T* copy = part_of + r * most;
        rows[r] = copy;
        if (tap < 0)
          std::fill_n(copy, part, T(0));
        else
          rows[r] = me.run(row % me.g.out, tap, channel).read(part, copy);
      }
      transpose(rows, static_cast<int>(width), part, to, width);
      to += part * width;
      p += part;
    }
  }

  static void pack_backward(const void* source, std::int64_t i, std::int64_t p, std::int64_t valid, std::int64_t width,
                            std::int64_t count, T* to) {
    const auto& me = *static_cast<const ImageMatrix*>(source);
    for (std::int64_t k = p; k < p + count; ++k, to += width) {
      for (std::int64_t r = 0; r < valid;) {
        const std::int64_t from = (i + r) / me.g.in, channel = (i + r) % me.g.in,
                           part = std::min(me.g.in - channel, valid - r), tap = me.tap(from, k / me.g.out);
        if (tap < 0)
          std::fill_n(to + r, part, T(0));
        else
          me.run(k % me.g.out, tap, channel).copy(part, to + r);
        r += part;
      }
      std::fill(to + valid, to + width, T(0));
    }
  }
};

/// y = x * w + bias for weights that are row-major or in strips of the kernel's columns.
template <class T>
void small_image_conv2d(const Conv2dGeometry& g, const T* x, const Elements<T>& w, const T* bias, T* y) {
  const ImageMatrix<T> matrix{g, w};
  const Tensor<T, Cpu> shift(Shape{bias ? matrix.rows() : 0});
  for (std::int64_t i = 0; i < shift.size(); ++i) shift[i] = bias[i % g.out];
  const auto addend = bias ? GemmAddend<T>{shift.data(), 0, 1} : GemmAddend<T>::nothing();
  gemm_parallel(GemmCall<T>{g.batch,
                            matrix.rows(),
                            matrix.columns(),
                            {x, matrix.columns(), false},
                            matrix.forward(),
                            T(1),
                            addend,
                            y,
                            matrix.rows()});
}

template <class T>
void small_image_input_gradient(const Conv2dGeometry& g, const T* gy, const Elements<T>& w, T* gx) {
  const ImageMatrix<T> matrix{g, w};
  gemm_parallel(GemmCall<T>{g.batch,
                            matrix.columns(),
                            matrix.rows(),
                            {gy, matrix.rows(), false},
                            matrix.backward(),
                            T(1),
                            GemmAddend<T>::nothing(),
                            gx,
                            matrix.columns()});
}

/// The gradient of the whole matrix, and for each tap the sum of its parts.
template <class T>
void small_image_weight_gradient(const Cpu& cpu, const Conv2dGeometry& g, const T* gy, const T* x, T* gw) {
  const ImageMatrix<T> matrix{g, {}};
  const std::int64_t rows = matrix.rows(), columns = matrix.columns(), taps = g.kernel_height * g.kernel_width;
  const Tensor<T, Cpu> whole(Shape{rows, columns});
  gemm(cpu, GemmShape{rows, columns, g.batch, true, false}, T(1), gy, rows, x, columns, T(0), whole.data(), columns);
  parallel_for(g.out, std::max<std::int64_t>(1, 16384 / (g.positions() * columns + 1)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t o = begin; o < end; ++o) {
                   std::fill_n(gw + o * taps * g.in, taps * g.in, T(0));
                   for (std::int64_t to = 0; to < g.positions(); ++to)
                     for (std::int64_t from = 0; from < g.height * g.width; ++from) {
                       const std::int64_t tap = matrix.tap(from, to);
                       if (tap < 0) continue;
                       const T* part = whole.data() + (to * g.out + o) * columns + from * g.in;
                       T* sum = gw + (o * taps + tap) * g.in;
                       for (std::int64_t c = 0; c < g.in; ++c) sum[c] += part[c];
                     }
                 }
               });
}

}  // namespace hypersd::ops::backend
