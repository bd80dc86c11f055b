// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_conv2d.hpp>
#include <hypersd/nn/adapter.hpp>

namespace hypersd::nn {

/// Convolution of channels-last images with a square kernel. The weight is [out, k, k, in]; files have [out, in, k, k].
template <Scalar T, Device D = Cpu>
struct Conv2d : AdaptedLayer<T, D> {
  ops::Conv2dOptions options;

  Conv2d() = default;
  /// `pad` -1: (kernel - 1) / 2, which keeps the size at stride 1. `pad_end`: see `ops::Conv2dOptions`.
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel = 3, std::int64_t stride = 1, std::int64_t pad = -1,
         std::int64_t pad_end = -1)
      : options{stride, pad < 0 ? (kernel - 1) / 2 : pad, pad_end} {
    this->weight = {Shape{out, kernel, kernel, in}, Initializer::fan_in(kernel * kernel * in)};
    this->bias = {Shape{out}, Initializer::fan_in(kernel * kernel * in)};
  }
  /// x [B, H, W, in] -> [B, H', W', out].
  Var<T, D> operator()(const Var<T, D>& x) const {
    return this->apply(
        x, [&](const auto& in, const auto& w, const auto& b) { return autograd::conv2d(in, w, b, options); });
  }
};

/// A convolution that starts at zero, as on the outputs of a ControlNet.
template <Scalar T, Device D = Cpu>
Conv2d<T, D> zero_conv(std::int64_t in, std::int64_t out, std::int64_t kernel = 1) {
  Conv2d<T, D> conv(in, out, kernel);
  conv.weight = {conv.weight.shape(), Initializer::zeros()};
  conv.bias = {conv.bias.shape(), Initializer::zeros()};
  return conv;
}

}  // namespace hypersd::nn
