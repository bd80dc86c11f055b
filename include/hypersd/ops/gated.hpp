// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/gated.hpp>
#include <hypersd/ops/functors.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/gated.hpp>
#include <hypersd/ops/cuda/kernels.cuh>
#endif

/// \file
/// Gated linear units (Shazeer, 2020, "GLU variants improve transformer"): the first half of the channels times an
/// activation function of the second half.

namespace hypersd::ops {

/// a f(g) for x [..., 2C] = (a, g) -> [..., C]. `F` is a functor with a derivative `d<0>` (ops/functors.hpp). Throws
/// ShapeError for an odd number of channels.
template <class F, class T, class D>
Tensor<T, D> gated(const F& f, const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() > 0 && x.dim(-1) % 2 == 0, "gated: shape ", x.shape(), " has an odd number of channels");
  const std::int64_t cols = x.dim(-1) / 2;
  Tensor<T, D> y(x.shape().with(-1, cols));
  if (y.size() > 0) backend::gated(D{}, f, y.size() / cols, cols, x.data(), y.data());
  return y;
}

/// Gradient of `gated` with respect to x: (gy f(g), gy a f'(g)). Throws ShapeError.
template <class F, class T, class D>
Tensor<T, D> gated_gradient(const F& f, const Tensor<T, D>& gy, const Tensor<T, D>& x) {
  require<ShapeError>(gy.size() * 2 == x.size(), "gated_gradient: gradient ", gy.shape(), " for input ", x.shape());
  Tensor<T, D> gx(x.shape());
  const std::int64_t cols = x.dim(-1) / 2;
  if (gy.size() > 0) backend::gated_gradient(D{}, f, gy.size() / cols, cols, gy.data(), x.data(), gx.data());
  return gx;
}

}  // namespace hypersd::ops
