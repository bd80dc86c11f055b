// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/resample.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::upsample_nearest`: x [B, H, W, C] -> [B, height, width, C].
template <class T, class D>
Var<T, D> upsample_nearest(const Var<T, D>& x, std::int64_t height, std::int64_t width) {
  return make_result<T, D>(
      ops::upsample_nearest(x.value(), height, width), {x},
      [x](const Tensor<T, D>& g) { x.accumulate(ops::upsample_nearest_gradient(g, x.shape())); },
      [&] { return ops::upsample_nearest(x.tangent(), height, width); });
}

/// Differentiable `ops::downsample_mean2`: means of 2 x 2 blocks, x [B, 2h, 2w, C] -> [B, h, w, C].
template <class T, class D>
Var<T, D> downsample_mean2(const Var<T, D>& x) {
  return make_result<T, D>(
      ops::downsample_mean2(x.value()), {x},
      [x](const Tensor<T, D>& g) { x.accumulate(ops::downsample_mean2_gradient(g)); },
      [&] { return ops::downsample_mean2(x.tangent()); });
}

}  // namespace hypersd::autograd
