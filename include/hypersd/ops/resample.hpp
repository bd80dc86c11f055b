// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/resample_cpu.hpp>
#if HYPERSD_HAS_CUDA && __has_include(<hypersd/ops/resample_cuda.cuh>)
#include <hypersd/ops/resample_cuda.cuh>
#endif

namespace hypersd::ops {

/// Nearest-neighbour enlargement of [B, h, w, C] to [B, H, W, C], H >= h, W >= w: pixel i comes from floor(i h / H).
template <class T, class D>
Tensor<T, D> upsample_nearest(const Tensor<T, D>& x, std::int64_t height, std::int64_t width) {
  require<ShapeError>(x.rank() == 4 && height >= x.dim(1) && width >= x.dim(2), "upsample_nearest: ", x.shape(), " to ",
                      height, " x ", width);
  Tensor<T, D> y(Shape{x.dim(0), height, width, x.dim(3)});
  if (y.size()) backend::upsample_nearest(D{}, y.data(), x.data(), x.dim(0), x.dim(1), x.dim(2), height, width, x.dim(3));
  return y;
}

/// Gradient of `upsample_nearest`: the sum over the copies of each pixel.
template <class T, class D>
Tensor<T, D> upsample_nearest_backward(const Tensor<T, D>& gy, const Shape& x) {
  auto gx = Tensor<T, D>::zeros(x);
  if (gy.size())
    backend::upsample_nearest_backward(D{}, gx.data(), gy.data(), x[0], x[1], x[2], gy.dim(1), gy.dim(2), x[3]);
  return gx;
}

}  // namespace hypersd::ops
