// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/instruction_set.hpp>
#include <hypersd/ops/cpu/lanes.hpp>

/// \file
/// The transforms of Winograd's F(4x4, 3x3) (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
/// 2016): tiles of 4 x 4 results become 36 matmuls with a quarter of the multiplications. The points of interpolation
/// are 0,
/// +-3/4, +-3/2 and infinity: exact in binary, with about a quarter of the usual points' error.

namespace hypersd::ops::backend {

/// Side of a tile of results, side of its input, and the number of products of
/// an input and a weight.
inline constexpr int winograd_tile = 4, winograd_side = 6, winograd_products = 36;

/// x, which the compiler does not fuse with an addition. In a sum of two products GCC may fuse either, and its
/// optimisation levels differ in which; so one of them is rounded. (Clang fuses within an expression only.)
template <class V>
__attribute__((always_inline)) inline const V& rounded(V&& x) {
#if defined(__x86_64__) && !defined(__clang__)
  asm("" : "+x"(x));
#endif
  return x;
}

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
    const V even_a = rounded((x[0] + a2 * x[2]) * over_a), odd_a = x[1] * (a * over_a);
    const V even_b = rounded((x[0] + b2 * x[2]) * over_b), odd_b = x[1] * (b * over_b);
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
    y[1] = a * odd_a + rounded(b * odd_b);
    y[2] = a2 * even_a + rounded(b2 * even_b);
    y[3] = x[5] + (a * a2 * odd_a + rounded(b * b2 * odd_b));
  }
  /// The transpose of `result`.
  __attribute__((always_inline)) static void gradient(const V (&x)[4], V (&y)[6]) {
    const V even_a = x[0] + a2 * x[2], odd_a = a * (x[1] + a2 * x[3]);
    const V even_b = x[0] + b2 * x[2], odd_b = b * (x[1] + b2 * x[3]);
    y[0] = x[0];
    y[1] = even_a + odd_a;
    y[2] = even_a - odd_a;
    y[3] = even_b + odd_b;
    y[4] = even_b - odd_b;
    y[5] = x[3];
  }
  /// The transpose of `weight`.
  __attribute__((always_inline)) static void taps(const V (&x)[6], V (&y)[3]) {
    const V even_a = rounded(over_a * (x[1] + x[2])), even_b = rounded(over_b * (x[3] + x[4]));
    const V odd_a = (a * over_a) * (x[1] - x[2]), odd_b = rounded((b * over_b) * (x[3] - x[4]));
    y[0] = over_0 * x[0] + (even_a + even_b);
    y[1] = odd_a + odd_b;
    y[2] = (a2 * even_a + rounded(b2 * even_b)) + x[5];
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

/// One tile of the results' gradient: from[16] point at its pixels; product p of channel c goes to to[p step + c].
template <int width>
__attribute__((always_inline)) inline void winograd_gradient_loops(const float* const* from, std::int64_t channels,
                                                                   float* to, std::int64_t step) {
  using L = WinogradLine<width>;
  for (std::int64_t c = 0; c < channels; c += width) {
    typename L::V half[6][4], in[4], out[6];
    for (int j = 0; j < 4; ++j) {
      for (int i = 0; i < 4; ++i) in[i] = *reinterpret_cast<const typename L::Loose*>(from[i * 4 + j] + c);
      L::gradient(in, out);
      for (int i = 0; i < 6; ++i) half[i][j] = out[i];
    }
    for (int i = 0; i < 6; ++i) {
      L::gradient(half[i], out);
      for (int j = 0; j < 6; ++j) *reinterpret_cast<typename L::Loose*>(to + (i * 6 + j) * step + c) = out[j];
    }
  }
}

/// The gradient of one output channel's weights, nine taps at to + t channels, from the sum of `parts` sets of products
/// at from + p step, `next` apart.
template <int width>
__attribute__((always_inline)) inline void winograd_taps_loops(const float* from, std::int64_t step, std::int64_t parts,
                                                               std::int64_t next, std::int64_t channels, float* to) {
  using L = WinogradLine<width>;
  for (std::int64_t c = 0; c < channels; c += width) {
    typename L::V half[3][6], in[6], out[3];
    for (int j = 0; j < 6; ++j) {
      for (int i = 0; i < 6; ++i) {
        const float* x = from + (i * 6 + j) * step + c;
        in[i] = *reinterpret_cast<const typename L::Loose*>(x);
        for (std::int64_t s = 1; s < parts; ++s) in[i] += *reinterpret_cast<const typename L::Loose*>(x + s * next);
      }
      L::taps(in, out);
      for (int i = 0; i < 3; ++i) half[i][j] = out[i];
    }
    for (int i = 0; i < 3; ++i) {
      L::taps(half[i], out);
      for (int j = 0; j < 3; ++j) *reinterpret_cast<typename L::Loose*>(to + (i * 3 + j) * channels + c) = out[j];
    }
  }
}

/// The transforms of an instruction set, see the loops above; channels are multiples of 16.
struct WinogradKernel {
  void (*input)(const float* const* from, std::int64_t channels, float* to, std::int64_t step);
  void (*weight)(const float* w, std::int64_t taps_step, std::int64_t channels, float* to, std::int64_t step);
  void (*result)(const float* from, std::int64_t step, std::int64_t channels, const float* bias, float* const* to);
  void (*gradient)(const float* const* from, std::int64_t channels, float* to, std::int64_t step);
  void (*taps)(const float* from, std::int64_t step, std::int64_t parts, std::int64_t next, std::int64_t channels,
               float* to);
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
inline void winograd_gradient_portable(const float* const* from, std::int64_t channels, float* to, std::int64_t step) {
  winograd_gradient_loops<4>(from, channels, to, step);
}
inline void winograd_taps_portable(const float* from, std::int64_t step, std::int64_t parts, std::int64_t next,
                                   std::int64_t channels, float* to) {
  winograd_taps_loops<4>(from, step, parts, next, channels, to);
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
__attribute__((target("avx2,fma"))) inline void winograd_gradient_avx2(const float* const* from, std::int64_t channels,
                                                                       float* to, std::int64_t step) {
  winograd_gradient_loops<8>(from, channels, to, step);
}
__attribute__((target("avx2,fma"))) inline void winograd_taps_avx2(const float* from, std::int64_t step,
                                                                   std::int64_t parts, std::int64_t next,
                                                                   std::int64_t channels, float* to) {
  winograd_taps_loops<8>(from, step, parts, next, channels, to);
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
__attribute__((target("avx512f,avx2,fma"))) inline void winograd_gradient_avx512(const float* const* from,
                                                                                 std::int64_t channels, float* to,
                                                                                 std::int64_t step) {
  winograd_gradient_loops<16>(from, channels, to, step);
}
__attribute__((target("avx512f,avx2,fma"))) inline void winograd_taps_avx512(const float* from, std::int64_t step,
                                                                             std::int64_t parts, std::int64_t next,
                                                                             std::int64_t channels, float* to) {
  winograd_taps_loops<16>(from, step, parts, next, channels, to);
}
#endif

/// The transforms of the selected instruction set.
inline WinogradKernel winograd_kernel() {
#if defined(__x86_64__)
  if (instruction_set() == InstructionSet::avx512)
    return {winograd_input_avx512, winograd_weight_avx512, winograd_result_avx512, winograd_gradient_avx512,
            winograd_taps_avx512};
  if (instruction_set() == InstructionSet::avx2)
    return {winograd_input_avx2, winograd_weight_avx2, winograd_result_avx2, winograd_gradient_avx2,
            winograd_taps_avx2};
#endif
  return {winograd_input_portable, winograd_weight_portable, winograd_result_portable, winograd_gradient_portable,
          winograd_taps_portable};
}

}  // namespace hypersd::ops::backend
