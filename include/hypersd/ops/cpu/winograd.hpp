// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <hypersd/ops/cpu/gemm.hpp>
#include <hypersd/ops/geometry.hpp>

/// \file
/// 3x3 convolutions of many channels by Winograd's F(4x4, 3x3) (Lavin and Gray,
/// "Fast Algorithms for Convolutional Neural Networks", 2016): tiles of 4 x 4
/// results become 36 matmuls with a quarter of the multiplications. The points
/// of interpolation are 0, +-3/4, +-3/2 and infinity: exact in binary, with
/// about a quarter of the usual points' error.

namespace hypersd::ops {

namespace detail {
inline std::atomic<bool>& winograd_allowed() {
  static std::atomic<bool> allowed{true};
  return allowed;
}
}  // namespace detail

/// Whether 3x3 convolutions of float on the CPU may run as Winograd's F(4x4,
/// 3x3), where it is faster. Its largest error is below 1e-4 of the results'
/// standard deviation. Thread-safe.
inline bool winograd_allowed() { return detail::winograd_allowed().load(std::memory_order_relaxed); }
/// Allows (the default) or forbids it for convolutions that start later.
/// Thread-safe.
inline void allow_winograd(bool allowed) { detail::winograd_allowed().store(allowed, std::memory_order_relaxed); }

namespace backend {

/// Side of a tile of results, side of its input, and the number of products of
/// an input and a weight.
inline constexpr int winograd_tile = 4, winograd_side = 6, winograd_products = 36;

/// One-dimensional transforms for the points 0, a, -a, b, -b, infinity, on
/// vectors of channels.
template <int width>
struct WinogradLine {
  using V = typename Vector<float, width>::type;
  using Loose = typename Vector<float, width>::loose;
  static constexpr float a = 0.75F, b = 1.5F, a2 = a * a, b2 = b * b, both = a2 * b2, sum = a2 + b2;
  static constexpr float over_a = 1 / (2 * a2 * (a2 - b2)), over_b = 1 / (2 * b2 * (b2 - a2)), over_0 = 1 / both;

  __attribute__((always_inline)) static void input(const V (&x)[6], V (&y)[6]) {
    const V even_a = x[4] - b2 * x[2], odd_a = a * (x[3] - b2 * x[1]);
    const V even_b = x[4] - a2 * x[2], odd_b = b * (x[3] - a2 * x[1]);
    y[0] = both * x[0] + (x[4] - sum * x[2]);
    y[1] = even_a + odd_a;
    y[2] = even_a - odd_a;
    y[3] = even_b + odd_b;
    y[4] = even_b - odd_b;
    y[5] = both * x[1] + (x[5] - sum * x[3]);
  }
  __attribute__((always_inline)) static void weight(const V (&x)[3], V (&y)[6]) {
    const V even_a = (x[0] + a2 * x[2]) * over_a, odd_a = x[1] * (a * over_a);
    const V even_b = (x[0] + b2 * x[2]) * over_b, odd_b = x[1] * (b * over_b);
    y[0] = x[0] * over_0;
    y[1] = even_a + odd_a;
    y[2] = even_a - odd_a;
    y[3] = even_b + odd_b;
    y[4] = even_b - odd_b;
    y[5] = x[2];
  }
  __attribute__((always_inline)) static void result(const V (&x)[6], V (&y)[4]) {
    const V even_a = x[1] + x[2], odd_a = x[1] - x[2], even_b = x[3] + x[4], odd_b = x[3] - x[4];
    y[0] = x[0] + (even_a + even_b);
    y[1] = a * odd_a + b * odd_b;
    y[2] = a2 * even_a + b2 * even_b;
    y[3] = x[5] + (a * a2 * odd_a + b * b2 * odd_b);
  }
};

/// One tile: from[36] point at its pixels; product p of channel c goes to to[p
/// step + c].
template <int width>
__attribute__((always_inline)) inline void winograd_input_loops(const float* const* from, std::int64_t channels,
                                                                float* to, std::int64_t step) {
  using L = WinogradLine<width>;
  for (std::int64_t c = 0; c < channels; c += width) {
    typename L::V half[6][6], in[6], out[6];
    for (int j = 0; j < 6; ++j) {
      for (int i = 0; i < 6; ++i) in[i] = *reinterpret_cast<const typename L::Loose*>(from[i * 6 + j] + c);
      L::input(in, out);
      for (int i = 0; i < 6; ++i) half[i][j] = out[i];
    }
    for (int i = 0; i < 6; ++i) {
      L::input(half[i], out);
      for (int j = 0; j < 6; ++j) *reinterpret_cast<typename L::Loose*>(to + (i * 6 + j) * step + c) = out[j];
    }
  }
}

/// The weights of one output channel, taps at w + t taps_step (from the last on
/// if it is negative).
template <int width>
__attribute__((always_inline)) inline void winograd_weight_loops(const float* w, std::int64_t taps_step,
                                                                 std::int64_t channels, float* to, std::int64_t step) {
  using L = WinogradLine<width>;
  for (std::int64_t c = 0; c < channels; c += width) {
    typename L::V half[6][3], in[3], out[6];
    for (int j = 0; j < 3; ++j) {
      for (int i = 0; i < 3; ++i) in[i] = *reinterpret_cast<const typename L::Loose*>(w + (i * 3 + j) * taps_step + c);
      L::weight(in, out);
      for (int i = 0; i < 6; ++i) half[i][j] = out[i];
    }
    for (int i = 0; i < 6; ++i) {
      L::weight(half[i], out);
      for (int j = 0; j < 6; ++j) *reinterpret_cast<typename L::Loose*>(to + (i * 6 + j) * step + c) = out[j];
    }
  }
}

/// One tile of results plus `bias` (may be null): to[16] point at its pixels,
/// null outside of the image.
template <int width>
__attribute__((always_inline)) inline void winograd_result_loops(const float* from, std::int64_t step,
                                                                 std::int64_t channels, const float* bias,
                                                                 float* const* to) {
  using L = WinogradLine<width>;
  for (std::int64_t c = 0; c < channels; c += width) {
    typename L::V half[4][6], in[6], out[4], shift{};
    if (bias != nullptr) shift = *reinterpret_cast<const typename L::Loose*>(bias + c);
    for (int j = 0; j < 6; ++j) {
      for (int i = 0; i < 6; ++i) in[i] = *reinterpret_cast<const typename L::Loose*>(from + (i * 6 + j) * step + c);
      L::result(in, out);
      for (int i = 0; i < 4; ++i) half[i][j] = out[i];
    }
    for (int i = 0; i < 4; ++i) {
      L::result(half[i], out);
      for (int j = 0; j < 4; ++j)
        if (to[i * 4 + j] != nullptr) *reinterpret_cast<typename L::Loose*>(to[i * 4 + j] + c) = out[j] + shift;
    }
  }
}

/// The transforms of an instruction set; channels are multiples of 16.
struct WinogradKernel {
  void (*input)(const float* const* from, std::int64_t channels, float* to, std::int64_t step);
  void (*weight)(const float* w, std::int64_t taps_step, std::int64_t channels, float* to, std::int64_t step);
  void (*result)(const float* from, std::int64_t step, std::int64_t channels, const float* bias, float* const* to);
};

inline void winograd_input_portable(const float* const* from, std::int64_t channels, float* to, std::int64_t step) {
  winograd_input_loops<4>(from, channels, to, step);
}
inline void winograd_weight_portable(const float* w, std::int64_t taps_step, std::int64_t channels, float* to,
                                     std::int64_t step) {
  winograd_weight_loops<4>(w, taps_step, channels, to, step);
}
inline void winograd_result_portable(const float* from, std::int64_t step, std::int64_t channels, const float* bias,
                                     float* const* to) {
  winograd_result_loops<4>(from, step, channels, bias, to);
}
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) inline void winograd_input_avx2(const float* const* from, std::int64_t channels,
                                                                    float* to, std::int64_t step) {
  winograd_input_loops<8>(from, channels, to, step);
}
__attribute__((target("avx2,fma"))) inline void winograd_weight_avx2(const float* w, std::int64_t taps_step,
                                                                     std::int64_t channels, float* to,
                                                                     std::int64_t step) {
  winograd_weight_loops<8>(w, taps_step, channels, to, step);
}
__attribute__((target("avx2,fma"))) inline void winograd_result_avx2(const float* from, std::int64_t step,
                                                                     std::int64_t channels, const float* bias,
                                                                     float* const* to) {
  winograd_result_loops<8>(from, step, channels, bias, to);
}
__attribute__((target("avx512f,avx2,fma"))) inline void winograd_input_avx512(const float* const* from,
                                                                              std::int64_t channels, float* to,
                                                                              std::int64_t step) {
  winograd_input_loops<16>(from, channels, to, step);
}
__attribute__((target("avx512f,avx2,fma"))) inline void winograd_weight_avx512(const float* w, std::int64_t taps_step,
                                                                               std::int64_t channels, float* to,
                                                                               std::int64_t step) {
  winograd_weight_loops<16>(w, taps_step, channels, to, step);
}
__attribute__((target("avx512f,avx2,fma"))) inline void winograd_result_avx512(const float* from, std::int64_t step,
                                                                               std::int64_t channels, const float* bias,
                                                                               float* const* to) {
  winograd_result_loops<16>(from, step, channels, bias, to);
}
#endif

/// The transforms of the selected instruction set.
inline WinogradKernel winograd_kernel() {
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::avx512)
    return {winograd_input_avx512, winograd_weight_avx512, winograd_result_avx512};
  if (instruction_set() == InstructionSet::avx2)
    return {winograd_input_avx2, winograd_weight_avx2, winograd_result_avx2};
#endif
  return {winograd_input_portable, winograd_weight_portable, winograd_result_portable};
}

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

/// A convolution y = x * w + bias by Winograd's method, for weights [g.out, 3, 3, g.in]; or, if `flipped`, for the
/// transpose of weights [g.in, 3, 3, g.out].
struct WinogradConvolution {
  const Conv2dGeometry& g;
  const float* x;
  const Elements<float>& w;
  bool flipped;
  const float* bias;
  float* y;
  WinogradKernel kernel = winograd_kernel();
  std::int64_t down = ceil_div(g.out_height, winograd_tile), across = ceil_div(g.out_width, winograd_tile);

  /// Transforms the weights of output channels [first, first + count): [36, count, g.in], or [36, g.in, count].
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
  /// The same from and to strips of `columns` rows: [36, strips, g.in, columns].
  void weight_strips(std::int64_t first, std::int64_t count, std::int64_t columns, float* to) const {
    constexpr std::int64_t most = 64;  // input channels widened at once
    const std::int64_t strips = ceil_div(count, columns), step = strips * g.in * columns;
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
  /// Transforms the inputs of tiles [first, first + count): [36, step, g.in].
  void inputs(std::int64_t first, std::int64_t count, std::int64_t step, float* to) const {
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
        kernel.input(from, g.in, to + t * g.in, step * g.in);
      }
    });
  }
  /// Writes output channels [channel, channel + channels) of tiles [first, first + count) from products
  /// [36, step, channels].
  void results(std::int64_t first, std::int64_t count, std::int64_t step, std::int64_t channel, std::int64_t channels,
               const float* products) const {
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
        kernel.result(products + t * channels, step * channels, channels, bias == nullptr ? nullptr : bias + channel,
                      to);
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
  /// In groups of tiles and of output channels; all transformed weights are in `kept`, or null.
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
        if (channel == 0 || group < tiles) inputs(first, count, group, in.data());
        const GemmOperand<float> a{in.data(), g.in, false};
        gemm_parallel(GemmCall<float>{count, now, g.in, a, b, 1.0F, GemmAddend<float>::nothing(), out.data(), now},
                      winograd_products, group * g.in, next_b, group * now);
        results(first, count, group, channel, now, out.data());
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
