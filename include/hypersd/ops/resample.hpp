// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/in_float.hpp>
#include <hypersd/ops/cpu/resample.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/kernels.cuh>
#include <hypersd/ops/cuda/resample.hpp>
#endif

namespace hypersd::ops {

namespace detail {

inline ResampleGeometry resample_geometry(const Shape& x, std::int64_t height, std::int64_t width) {
  require<ShapeError>(x.rank() == 4, "upsample_nearest of shape ", x, ": not NHWC");
  require<ShapeError>(height >= x[1] && width >= x[2], "upsample_nearest: shape ", x, " to the smaller size ", height,
                      " x ", width);
  return {x[0], x[1], x[2], height, width, x[3]};
}

}  // namespace detail

/// Nearest-neighbour upsampling of x [B, H, W, C] to [B, height, width, C], height >= H and width >= W: position i
/// reads floor(i H / height), as in diffusion UNets. Throws ShapeError.
template <class T, class D>
Tensor<T, D> upsample_nearest(const Tensor<T, D>& x, std::int64_t height, std::int64_t width) {
  const ResampleGeometry g = detail::resample_geometry(x.shape(), height, width);
  Tensor<T, D> y(Shape{g.batch, height, width, g.channels});
  if (y.size() > 0) backend::upsample_nearest(D{}, g, x.data(), y.data());
  return y;
}

/// Backward pass of `upsample_nearest` for an input of shape `x_shape`: each position sums those that read it. Throws
/// ShapeError.
template <class T, class D>
Tensor<T, D> upsample_nearest_gradient(const Tensor<T, D>& gy, const Shape& x_shape) {
  require<ShapeError>(gy.rank() == 4, "upsample_nearest_gradient of shape ", gy.shape());
  const ResampleGeometry g = detail::resample_geometry(x_shape, gy.dim(1), gy.dim(2));
  require<ShapeError>(gy.dim(0) == g.batch && gy.dim(3) == g.channels, "upsample_nearest_gradient: gradient ",
                      gy.shape(), " for input ", x_shape);
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(upsample_nearest_gradient(detail::wide(gy), x_shape));
  } else {
    Tensor<T, D> gx(x_shape);
    if (gx.size() > 0) backend::upsample_nearest_gradient(D{}, g, gy.data(), gx.data());
    return gx;
  }
}

/// Mean of 2 x 2 pixels: [B, H, W, C] -> [B, H/2, W/2, C]. Throws ShapeError unless H and W are even.
template <class T, class D>
Tensor<T, D> downsample_mean2(const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() == 4 && x.dim(1) % 2 == 0 && x.dim(2) % 2 == 0, "downsample_mean2 of shape ", x.shape(),
                      ": not NHWC with even sides");
  const ResampleGeometry g{x.dim(0), x.dim(1) / 2, x.dim(2) / 2, x.dim(1), x.dim(2), x.dim(3)};
  Tensor<T, D> y(Shape{g.batch, g.height, g.width, g.channels});
  if (y.size() > 0) backend::downsample_mean2(D{}, g, x.data(), y.data());
  return y;
}

/// Backward pass of `downsample_mean2`: a quarter of each element for the four inputs. Throws ShapeError.
template <class T, class D>
Tensor<T, D> downsample_mean2_gradient(const Tensor<T, D>& gy) {
  require<ShapeError>(gy.rank() == 4, "downsample_mean2_gradient of shape ", gy.shape());
  const ResampleGeometry g{gy.dim(0), gy.dim(1), gy.dim(2), 2 * gy.dim(1), 2 * gy.dim(2), gy.dim(3)};
  Tensor<T, D> gx(Shape{g.batch, g.big_height, g.big_width, g.channels});
  if (gx.size() > 0) backend::downsample_mean2_gradient(D{}, g, gy.data(), gx.data());
  return gx;
}

}  // namespace hypersd::ops
