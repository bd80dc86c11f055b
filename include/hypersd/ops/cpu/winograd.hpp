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

/// Whether a convolution is faster this way: enough tiles for the transformed
/// weights to pay, of which there may be fewer if those are kept, few results
/// outside of the image, whole vectors of channels. A function of the shape and
/// of `winograd_allowed`.
inline bool winograd_pays(const Conv2dGeometry& g, bool kept = false) {
  const std::int64_t tiles = g.batch * ceil_div(g.out_height, winograd_tile) * ceil_div(g.out_width, winograd_tile);
  return g.kernel_height == 3 && g.kernel_width == 3 && g.stride == 1 && g.in >= 128 && g.out >= 128 &&
         g.in % 16 == 0 && g.out % 16 == 0 && tiles >= (kept ? 16 : 48) &&
         4 * 16 * tiles <= 5 * g.batch * g.positions() && winograd_allowed();
}

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
  /// Transforms the inputs of tiles [first, first + count); those of a tile for
  /// one product have `row_length` elements, products are `step` apart.
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
        kernel.input(from, g.in, to + t * row_length, step);
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
    constexpr std::int64_t cache = 16 << 20, scratch = 64 << 20,
                           bytes = winograd_products * std::int64_t{sizeof(float)};
    const std::int64_t tiles = g.batch * down * across;
    // Groups of tiles whose products stay in the cache, as equal as possible.
    const std::int64_t most = std::max<std::int64_t>(48, cache / (bytes * (g.in + g.out)));
    const std::int64_t group = ceil_div(tiles, ceil_div(tiles, most));
    const std::int64_t columns = w.strip, unit = std::max<std::int64_t>(16, columns);
    if (columns > 0 && w.derived != nullptr) {
      const Tensor<float, Cpu>& kept = w.derived->get([&] {
        Tensor<float, Cpu> all(Shape{winograd_products, ceil_div(g.out, columns) * columns, g.in});
        weight_strips(0, g.out, columns, all.data());
        return all;
      });
      return run(group, g.out, &kept);
    }
    // Output channels whose weights fit into the scratch memory.
    const std::int64_t parts = ceil_div(bytes * g.in * g.out, scratch);
    run(group, ceil_div(ceil_div(g.out, parts), unit) * unit, nullptr);
  }

 private:
  /// In groups of tiles and of output channels; all transformed weights are in
  /// `kept`, or null.
  void run(std::int64_t group, std::int64_t channels, const Tensor<float, Cpu>* kept) const {
    const std::int64_t tiles = g.batch * down * across, columns = w.strip;
    const Tensor<float, Cpu> scratch(Shape{winograd_products, kept != nullptr ? 0 : channels, g.in});
    const Tensor<float, Cpu>& transformed = kept != nullptr ? *kept : scratch;
    const Tensor<float, Cpu> in(Shape{winograd_products, group, g.in}), out(Shape{winograd_products, group, channels});
    for (std::int64_t channel = 0; channel < g.out; channel += channels) {
      const std::int64_t now = std::min(channels, g.out - channel);
      if (kept == nullptr && columns > 0)
        weight_strips(channel, now, columns, transformed.data());
      else if (kept == nullptr)
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
