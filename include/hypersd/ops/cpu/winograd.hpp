// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <hypersd/ops/cpu/gemm.hpp>
#include <hypersd/ops/cpu/winograd_transforms.hpp>
#include <hypersd/ops/geometry.hpp>

/// \file
/// 3x3 convolutions of many channels by Winograd's method
/// (winograd_transforms.hpp).

namespace hypersd::ops {

namespace detail {
inline std::atomic<bool>& winograd_allowed() {
  static std::atomic<bool> allowed{true};
  return allowed;
}
}  // namespace detail

/// Whether 3x3 convolutions of float on the CPU, and their gradients, may run
/// as Winograd's F(4x4, 3x3), where it is faster. Its largest error is below
/// 1e-4 of the results' standard deviation. Thread-safe.
inline bool winograd_allowed() { return detail::winograd_allowed().load(std::memory_order_relaxed); }
/// Allows (the default) or forbids it for convolutions that start later.
/// Thread-safe.
inline void allow_winograd(bool allowed) { detail::winograd_allowed().store(allowed, std::memory_order_relaxed); }

namespace backend {

/// Whether a convolution is faster this way: enough tiles for the transformation of the weights to pay, few results
/// outside of the image, whole vectors of channels. A function of the shape and of `winograd_allowed`.
inline bool winograd_pays(const Conv2dGeometry& g) {
  const std::int64_t tiles = g.batch * ceil_div(g.out_height, winograd_tile) * ceil_div(g.out_width, winograd_tile);
  return g.kernel_height == 3 && g.kernel_width == 3 && g.stride == 1 && g.in >= 128 && g.out >= 128 &&
         g.in % 16 == 0 && g.out % 16 == 0 && tiles >= 8 && 4 * 16 * tiles <= 5 * g.batch * g.positions() &&
         winograd_allowed();
}

/// Elements between the products of a group: a cache line, without which all 36 would share few sets of the L1 cache.
inline constexpr std::int64_t winograd_gap = 16;

/// A convolution y = x * w + bias by Winograd's method, for weights [g.out, 3,
/// 3, g.in]; or, if `flipped`, for the transpose of weights [g.in, 3, 3,
/// g.out].
struct WinogradConvolution {
  const Conv2dGeometry& g;
  const float* x;
  const Elements<float>& w;
  bool flipped;
  const float* bias;
  float* y;
  WinogradKernel kernel = winograd_kernel();
  std::int64_t down = ceil_div(g.out_height, winograd_tile), across = ceil_div(g.out_width, winograd_tile);

  /// Transforms the weights of output channels [first, first + count): [36,
  /// count, g.in], or [36, g.in, count].
  void weights(std::int64_t first, std::int64_t count, float* to) const {
    const std::int64_t rows = flipped ? g.in : count, stored = flipped ? g.out : g.in, columns = flipped ? count : g.in;
    const std::int64_t row = flipped ? 0 : first, column = flipped ? first : 0;
    parallel_for(rows, 8, [&](std::int64_t begin, std::int64_t end) {
      const Tensor<float, Cpu> widened(Shape{w.widened() ? 9 * stored : 0});
      for (std::int64_t r = begin; r < end; ++r) {
        const float* taps = w.from((row + r) * 9 * stored).read(9 * stored, widened.data()) + column;
        kernel.weight(flipped ? taps + 8 * stored : taps, flipped ? -stored : stored, columns, to + r * columns,
                      rows * columns);
      }
    });
  }
  /// The same from and to strips of `columns` rows: [36, strips, g.in,
  /// columns], with a gap after each product.
  void weight_strips(std::int64_t first, std::int64_t count, std::int64_t columns, float* to,
                     std::int64_t gap = 0) const {
    constexpr std::int64_t most = 64;  // input channels widened at once
    const std::int64_t strips = ceil_div(count, columns), step = strips * g.in * columns + gap;
    parallel_for(strips, 1, [&](std::int64_t begin, std::int64_t end) {
      const Tensor<float, Cpu> widened(Shape{w.widened() ? 9 * most * columns : 0});
      for (std::int64_t s = begin; s < end; ++s)
        for (std::int64_t c = 0; c < g.in; c += most) {
          const std::int64_t part = std::min(most, g.in - c);
          const Elements<float> from = w.from((first + s * columns) * 9 * g.in + c * columns);
          const float* taps = from.in_place;
          std::int64_t taps_step = g.in * columns;
          if (w.widened()) {
            for (std::int64_t t = 0; t < 9; ++t)
              from.from(t * taps_step).copy(part * columns, widened.data() + t * part * columns);
            taps = widened.data();
            taps_step = part * columns;
          }
          for (std::int64_t i = 0; i < part; ++i)
            kernel.weight(taps + i * columns, taps_step, columns, to + (s * g.in + c + i) * columns, step);
        }
    });
  }
  /// Transforms the inputs of tiles [first, first + count); those of a tile for one product have `row_length` elements,
  /// products are `step` apart. If there are more input channels, the next ones follow after all products.
  void inputs(std::int64_t first, std::int64_t count, std::int64_t step, float* to, std::int64_t row_length) const {
    const Tensor<float, Cpu> zeros = Tensor<float, Cpu>::zeros(Shape{g.in});
    parallel_for(count, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const std::int64_t row = (first + t) / across, image = row / down;
        const std::int64_t top = row % down * winograd_tile - g.pad,
                           left = (first + t) % across * winograd_tile - g.pad;
        const float* from[winograd_products];
        for (std::int64_t i = 0; i < winograd_side; ++i)
          for (std::int64_t j = 0; j < winograd_side; ++j) {
            const bool inside = top + i >= 0 && top + i < g.height && left + j >= 0 && left + j < g.width;
            from[i * winograd_side + j] =
                inside ? x + ((image * g.height + top + i) * g.width + left + j) * g.in : zeros.data();
          }
        float* product = to + t * row_length;
        for (std::int64_t c = 0; c < g.in; c += row_length, product += winograd_products * step) {
          kernel.input(from, std::min(row_length, g.in - c), product, step);
          for (const float*& pixel : from) pixel += row_length;
        }
      }
    });
  }
  /// Transforms the gradients of the results of tiles [first, first + count),
  /// likewise.
  void gradients(const float* gy, std::int64_t first, std::int64_t count, std::int64_t step, float* to,
                 std::int64_t row_length) const {
    const Tensor<float, Cpu> zeros = Tensor<float, Cpu>::zeros(Shape{g.out});
    for (std::int64_t t = 0; t < count; ++t) {
      const std::int64_t row = (first + t) / across, image = row / down;
      const std::int64_t top = row % down * winograd_tile, left = (first + t) % across * winograd_tile;
      const float* from[winograd_tile * winograd_tile];
      for (std::int64_t i = 0; i < winograd_tile; ++i)
        for (std::int64_t j = 0; j < winograd_tile; ++j) {
          const bool inside = top + i < g.out_height && left + j < g.out_width;
          from[i * winograd_tile + j] =
              inside ? gy + ((image * g.out_height + top + i) * g.out_width + left + j) * g.out : zeros.data();
        }
      kernel.gradient(from, g.out, to + t * row_length, step);
    }
  }
  /// Writes output channels [channel, channel + channels) of tiles [first,
  /// first + count) from products, likewise.
  void results(std::int64_t first, std::int64_t count, std::int64_t step, std::int64_t channel, std::int64_t channels,
               const float* products, std::int64_t row_length) const {
    parallel_for(count, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const std::int64_t row = (first + t) / across, image = row / down;
        const std::int64_t top = row % down * winograd_tile, left = (first + t) % across * winograd_tile;
        float* to[winograd_tile * winograd_tile];
        for (std::int64_t i = 0; i < winograd_tile; ++i)
          for (std::int64_t j = 0; j < winograd_tile; ++j)
            to[i * winograd_tile + j] =
                top + i < g.out_height && left + j < g.out_width
                    ? y + ((image * g.out_height + top + i) * g.out_width + left + j) * g.out + channel
                    : nullptr;
        kernel.result(products + t * row_length, step, channels, bias == nullptr ? nullptr : bias + channel, to);
      }
    });
  }
  void run() const {
    constexpr std::int64_t few_tiles = 96, cache = 16 << 20, scratch = 40 << 20,
                           bytes = winograd_products * std::int64_t{sizeof(float)};
    const std::int64_t tiles = g.batch * down * across;
    if (tiles <= few_tiles) return run_by_strips();
    // Groups of tiles whose products stay in the cache, as equal as possible.
    const std::int64_t most = std::max<std::int64_t>(48, cache / (bytes * (g.in + g.out)));
    const std::int64_t group = ceil_div(tiles, ceil_div(tiles, most));
    // Output channels whose weights fit into the scratch memory.
    const std::int64_t unit = std::max(16, w.strip), parts = ceil_div(bytes * g.in * g.out, scratch);
    run_by_products(group, ceil_div(ceil_div(g.out, parts), unit) * unit);
  }

 private:
  /// All products of a strip of output channels after each other: its weights are transformed for few input channels at
  /// a time, and never leave the L2 cache.
  void run_by_strips() const {
    constexpr std::int64_t most_depth = 128;
    const GemmKernel<float> gemm = gemm_kernel<float>();
    const std::int64_t tiles = g.batch * down * across, rows = ceil_div(tiles, gemm.rows) * gemm.rows,
                       columns = gemm.columns, blocks = ceil_div(g.in, most_depth),
                       depth = ceil_div(ceil_div(g.in, blocks), 16) * 16;
    const std::int64_t in_step = rows * depth + winograd_gap, weight_step = columns * depth + winograd_gap,
                       sum_step = rows * columns + winograd_gap;
    const Shape shape{blocks, winograd_products, in_step};
    const auto in = rows == tiles ? Tensor<float, Cpu>(shape) : Tensor<float, Cpu>::zeros(shape);
    inputs(0, tiles, in_step, in.data(), depth);
    const float* const zeros = GemmAddend<float>::nothing().data;
    parallel_for(ceil_div(g.out, columns), 1, [&](std::int64_t begin, std::int64_t end) {
      const Tensor<float, Cpu> weights(Shape{winograd_products, weight_step}), sums(Shape{winograd_products, sum_step}),
          taps(Shape{9, depth, columns});
      for (std::int64_t first = begin * columns; first < std::min(g.out, end * columns); first += columns) {
        for (std::int64_t block = 0; block < blocks; ++block) {
          const std::int64_t channel = block * depth, count = std::min(depth, g.in - channel);
          strip_weights(first, columns, channel, count, taps.data(), weights.data(), weight_step);
          for (std::int64_t p = 0; p < winograd_products; ++p)
            for (std::int64_t t = 0; t < tiles; t += gemm.rows) {
              const float* a = in.data() + (block * winograd_products + p) * in_step + t * depth;
              float* sum = sums.data() + p * sum_step + t * columns;
              gemm.multiply({count, a, weights.data() + p * weight_step, depth, columns, true}, 1.0F,
                            block == 0 ? zeros : sum, block == 0 ? 0 : columns, sum, columns);
            }
        }
        results(0, tiles, sum_step, first, std::min(columns, g.out - first), sums.data(), columns);
      }
    });
  }
  /// Transforms the weights of output channels [first, first + columns) and input channels [channel, channel + count):
  /// [36, count, columns]. `taps` [9, count, columns] is for the weights in this order.
  void strip_weights(std::int64_t first, std::int64_t columns, std::int64_t channel, std::int64_t count, float* taps,
                     float* to, std::int64_t step) const {
    const std::int64_t valid = std::min(columns, g.out - first);
    const float* from = taps;
    std::int64_t taps_step = count * columns, next = columns;
    if (flipped && !w.widened()) {
      from = w.in_place + (channel * 9 + 8) * g.out + first;
      taps_step = -g.out;
      next = 9 * g.out;
    } else if (flipped) {
      for (std::int64_t t = 0; t < 9; ++t)
        for (std::int64_t i = 0; i < count; ++i)
          w.from(((channel + i) * 9 + 8 - t) * g.out + first).copy(valid, taps + t * taps_step + i * columns);
    } else if (w.strip > 0 && !w.widened()) {
      from = w.in_place + first * 9 * g.in + channel * columns;
      taps_step = g.in * columns;
    } else if (w.strip > 0) {
      for (std::int64_t t = 0; t < 9; ++t)
        w.from(first * 9 * g.in + (t * g.in + channel) * columns).copy(taps_step, taps + t * taps_step);
    } else {
      for (std::int64_t t = 0; t < 9; ++t)
        pack_rows(w.from((first * 9 + t) * g.in + channel), 9 * g.in, valid, static_cast<int>(columns), count,
                  taps + t * taps_step);
    }
    for (std::int64_t i = 0; i < count; ++i) kernel.weight(from + i * next, taps_step, valid, to + i * columns, step);
  }
  /// Product after product, each a matmul, in groups of tiles and of output channels.
  void run_by_products(std::int64_t group, std::int64_t channels) const {
    const std::int64_t tiles = g.batch * down * across, columns = w.strip;
    const Tensor<float, Cpu> transformed(Shape{winograd_products, channels, g.in}),
        in(Shape{winograd_products, group, g.in}), out(Shape{winograd_products, group, channels});
    for (std::int64_t channel = 0; channel < g.out; channel += channels) {
      const std::int64_t now = std::min(channels, g.out - channel);
      if (columns > 0)
        weight_strips(channel, now, columns, transformed.data());
      else
        weights(channel, now, transformed.data());
      const auto b = columns > 0 ? GemmOperand<float>::packed(transformed.data(), static_cast<int>(columns), g.in)
                                 : GemmOperand<float>{transformed.data(), flipped ? now : g.in, flipped};
      const std::int64_t next_b = g.in * (columns > 0 ? ceil_div(now, columns) * columns : now);
      for (std::int64_t first = 0; first < tiles; first += group) {
        const std::int64_t count = std::min(group, tiles - first);
        if (channel == 0 || group < tiles) inputs(first, count, group * g.in, in.data(), g.in);
        const GemmOperand<float> a{in.data(), g.in, false};
        gemm_parallel(GemmCall<float>{count, now, g.in, a, b, 1.0F, GemmAddend<float>::nothing(), out.data(), now},
                      winograd_products, group * g.in, next_b, group * now);
        results(first, count, group * now, channel, now, out.data(), now);
      }
    }
  }
};

inline void winograd_conv2d(const Conv2dGeometry& g, const float* x, const Elements<float>& w, bool flipped,
                            const float* bias, float* y) {
  WinogradConvolution{g, x, w, flipped, bias, y}.run();
}

}  // namespace backend
}  // namespace hypersd::ops
