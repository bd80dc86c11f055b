// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/winograd.hpp>

/// \file
/// 3x3 convolutions of few channels, and the gradients of their weights, by
/// Winograd's method: a group of tiles is transformed, multiplied and
/// transformed back while it is in the L2 cache. The matmuls read the
/// transforms in place.

namespace hypersd::ops::backend {

/// Whether a convolution, or the gradient of its weights, is faster this way. A
/// function of the shape and of `winograd_allowed`.
inline bool fused_winograd_pays(const Conv2dGeometry& g) {
  const std::int64_t tiles = g.batch * ceil_div(g.out_height, winograd_tile) * ceil_div(g.out_width, winograd_tile);
  return g.kernel_height == 3 && g.kernel_width == 3 && g.stride == 1 && g.in % 16 == 0 && g.out % 16 == 0 &&
         g.in > 0 && g.out > 0 && g.in <= 256 && g.out <= 256 && g.in * g.out < 128 * 128 && tiles >= 24 &&
         2 * 16 * tiles <= 3 * g.batch * g.positions() && winograd_allowed();
}

/// Tiles of a group: whole tiles of the matmul.
inline std::int64_t winograd_group(const GemmKernel<float>& gemm, std::int64_t about) {
  return ceil_div(about, gemm.rows) * gemm.rows;
}

/// The transformed weights of `c` in strips [36, strips, g.in, columns], with
/// gaps.
inline Tensor<float, Cpu> fused_winograd_weights(const WinogradConvolution& c, std::int64_t columns) {
  const Conv2dGeometry& g = c.g;
  const std::int64_t strips = ceil_div(g.out, columns), padded = strips * columns, step = padded * g.in + winograd_gap;
  const Shape shape{winograd_products, step};
  if (c.flipped) {  // as stored, output channels are side by side
    const auto out = padded == g.out ? Tensor<float, Cpu>(shape) : Tensor<float, Cpu>::zeros(shape);
    parallel_for(g.in, 8, [&](std::int64_t begin, std::int64_t end) {
      const Tensor<float, Cpu> widened(Shape{c.w.widened() ? 9 * g.out : 0});
      for (std::int64_t i = begin; i < end; ++i) {
        const float* last_tap = c.w.from(i * 9 * g.out).read(9 * g.out, widened.data()) + 8 * g.out;
        for (std::int64_t s = 0; s < strips; ++s)
          c.kernel.weight(last_tap + s * columns, -g.out, std::min(columns, g.out - s * columns),
                          out.data() + (s * g.in + i) * columns, step);
      }
    });
    return out;
  }
  Tensor<float, Cpu> out(shape);
  if (c.w.strip > 0) {
    c.weight_strips(0, g.out, columns, out.data(), winograd_gap);
    return out;
  }
  const Tensor<float, Cpu> packed(Shape{padded, 9 * g.in});
  for (std::int64_t o = 0; o < g.out; o += columns)
    pack_rows(c.w.from(o * 9 * g.in), 9 * g.in, std::min(columns, g.out - o), static_cast<int>(columns), 9 * g.in,
              packed.data() + o * 9 * g.in);
  const Elements<float> strip_weights(packed.data());
  WinogradConvolution{g, c.x, strip_weights, false, c.bias, c.y}.weight_strips(0, g.out, columns, out.data(),
                                                                               winograd_gap);
  return out;
}

/// As `winograd_conv2d`.
inline void fused_winograd_conv2d(const Conv2dGeometry& g, const float* x, const Elements<float>& w, bool flipped,
                                  const float* bias, float* y) {
  const WinogradConvolution c{g, x, w, flipped, bias, y};
  const GemmKernel<float> gemm = gemm_kernel<float>();
  const std::int64_t tiles = g.batch * c.down * c.across, group = winograd_group(gemm, 24);
  const std::int64_t strips = ceil_div(g.out, gemm.columns), width = strips * gemm.columns;
  const Tensor<float, Cpu> transformed = fused_winograd_weights(c, gemm.columns);
  const std::int64_t in_step = group * g.in + winograd_gap, out_step = group * width + winograd_gap,
                     weight_step = width * g.in + winograd_gap;
  const float* zeros = GemmAddend<float>::nothing().data;
  parallel_for(ceil_div(tiles, group), 1, [&](std::int64_t begin, std::int64_t end) {
    const Tensor<float, Cpu> in(Shape{winograd_products, in_step}), out(Shape{winograd_products, out_step});
    for (std::int64_t first = begin * group; first < std::min(tiles, end * group); first += group) {
      const std::int64_t count = std::min(group, tiles - first);
      if (count < group) std::fill_n(in.data(), in.size(), 0.0F);
      c.inputs(first, count, in_step, in.data(), g.in);
      for (std::int64_t p = 0; p < winograd_products; ++p)
        for (std::int64_t s = 0; s < strips; ++s) {
          const float* b = transformed.data() + p * weight_step + s * g.in * gemm.columns;
          for (std::int64_t t = 0; t < count; t += gemm.rows)
            gemm.multiply({g.in, in.data() + p * in_step + t * g.in, b, g.in, gemm.columns, true}, 1.0F, zeros, 0,
                          out.data() + p * out_step + t * width + s * gemm.columns, width);
        }
      c.results(first, count, out_step, 0, g.out, out.data(), width);
    }
  });
}

/// gw [g.out, 3, 3, g.in]: products of transformed inputs and transformed
/// gradients, summed over slabs of tiles, and the sums in the slabs' order.
inline void fused_winograd_weight_gradient(const Conv2dGeometry& g, const float* gy, const float* x, float* gw) {
  const WinogradConvolution c{g, x, {}, false, nullptr, nullptr};
  const GemmKernel<float> gemm = gemm_kernel<float>();
  const std::int64_t tiles = g.batch * c.down * c.across, group = winograd_group(gemm, 30);
  const std::int64_t height = ceil_div(g.out, gemm.rows) * gemm.rows,
                     width = ceil_div(g.in, gemm.columns) * gemm.columns, left_step = group * height + winograd_gap,
                     right_step = group * width + winograd_gap, step = height * width + winograd_gap,
                     set = winograd_products * step;
  const std::int64_t slabs = std::clamp<std::int64_t>(tiles / 128, tiles >= 64 ? 2 : 1, 8),
                     per_slab = ceil_div(tiles, slabs);
  const Tensor<float, Cpu> sums(Shape{slabs, set});
  const GemmAddend<float> nothing = GemmAddend<float>::nothing();
  parallel_for(slabs, 1, [&](std::int64_t slab, std::int64_t) {
    const auto left = Tensor<float, Cpu>::zeros(Shape{winograd_products, left_step});
    const auto right = Tensor<float, Cpu>::zeros(Shape{winograd_products, right_step});
    const std::int64_t begin = slab * per_slab, end = std::min(tiles, begin + per_slab);
    for (std::int64_t first = begin; first == begin || first < end; first += group) {
      const std::int64_t count = std::clamp<std::int64_t>(end - first, 0, group);
      c.gradients(gy, first, count, left_step, left.data(), height);
      c.inputs(first, count, right_step, right.data(), width);
      float* to = sums.data() + slab * set;
      for (std::int64_t p = 0; p < winograd_products; ++p, to += step)
        for (std::int64_t j = 0; j < width; j += gemm.columns)
          for (std::int64_t i = 0; i < height; i += gemm.rows) {
            float* tile = to + i * width + j;
            gemm.multiply({count, left.data() + p * left_step + i, right.data() + p * right_step + j, height, width},
                          1.0F, first == begin ? nothing.data : tile, first == begin ? 0 : width, tile, width);
          }
    }
  });
  parallel_for(g.out, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o)
      c.kernel.taps(sums.data() + o * width, step, slabs, set, g.in, gw + o * 9 * g.in);
  });
}

}  // namespace hypersd::ops::backend
