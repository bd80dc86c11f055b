// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_resample.hpp>
#include <hypersd/nn/conv.hpp>

namespace hypersd::nn {

/// Halves the size by a 3x3 convolution of stride 2: n -> ceil(n / 2).
template <Scalar T, Device D = Cpu>
struct Downsample2d {
  using value_type = T;
  using device_type = D;

  Conv2d<T, D> conv;

  Downsample2d() = default;
  /// `asymmetric`: padding at the bottom and right only, as in the autoencoder, n -> floor(n / 2); else 1 on all sides.
  explicit Downsample2d(std::int64_t channels, bool asymmetric = false)
      : conv(channels, channels, 3, 2, asymmetric ? 0 : 1, 1) {}
  Var<T, D> operator()(const Var<T, D>& x) const { return conv(x); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv", conv);
  }
};

/// Nearest-neighbour upsampling and a 3x3 convolution.
template <Scalar T, Device D = Cpu>
struct Upsample2d {
  using value_type = T;
  using device_type = D;

  Conv2d<T, D> conv;

  Upsample2d() = default;
  explicit Upsample2d(std::int64_t channels) : conv(channels, channels) {}
  /// x [B, H, W, C] -> [B, height, width, C]; normally 2H x 2W, or one less where the downsampling rounded up.
  Var<T, D> operator()(const Var<T, D>& x, std::int64_t height, std::int64_t width) const {
    return conv(autograd::upsample_nearest(x, height, width));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    visit_members(f, prefix, "conv", conv);
  }
};

}  // namespace hypersd::nn
