// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/softmax_cpu.hpp>
#if HYPERSD_HAS_CUDA && __has_include(<hypersd/ops/softmax_cuda.cuh>)
#include <hypersd/ops/softmax_cuda.cuh>
#endif

namespace hypersd::ops {

/// Softmax over the last axis.
template <class T, class D>
Tensor<T, D> softmax(const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() >= 1, "softmax of a scalar");
  Tensor<T, D> y(x.shape());
  const std::int64_t cols = x.dim(-1);
  if (x.size()) backend::softmax(D{}, y.data(), x.data(), x.size() / cols, cols);
  return y;
}

/// Gradient of `softmax` from its result: y (g - <g, y>).
template <class T, class D>
Tensor<T, D> softmax_backward(const Tensor<T, D>& g, const Tensor<T, D>& y) {
  Tensor<T, D> gx(y.shape());
  const std::int64_t cols = y.dim(-1);
  if (y.size()) backend::softmax_backward(D{}, gx.data(), g.data(), y.data(), y.size() / cols, cols);
  return gx;
}

/// Number of the largest entry of each row of [B, K].
template <class T, class D>
Tensor<std::int32_t, D> argmax(const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() == 2 && x.dim(1) >= 1, "argmax: matrix needed, got ", x.shape());
  Tensor<std::int32_t, D> out(Shape{x.dim(0)});
  backend::argmax(D{}, out.data(), x.data(), x.dim(0), x.dim(1));
  return out;
}

}  // namespace hypersd::ops
