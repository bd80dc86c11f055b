// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/conv2d.hpp>
#include <hypersd/ops/cpu/in_float.hpp>
#include <hypersd/ops/weight.hpp>
#include <type_traits>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/conv2d.hpp>
#include <hypersd/ops/cuda/kernels.cuh>
#endif

namespace hypersd::ops {

/// Stride >= 1 and zero padding >= 0, both the same for height and width. `pad_end` is the padding at the bottom and
/// right; -1: as `pad`.
struct Conv2dOptions {
  std::int64_t stride = 1, pad = 1, pad_end = -1;
};

namespace detail {

/// Checks the shapes.
inline Conv2dGeometry conv2d_geometry(const Shape& x, const Shape& w, Conv2dOptions o) {
  require<ShapeError>(x.rank() == 4 && w.rank() == 4 && x[3] == w[3], "conv2d: input ", x, " (NHWC) and weight ", w,
                      " (OHWI)");
  require<OptionError>(o.stride >= 1 && o.pad >= 0, "conv2d: stride ", o.stride, ", pad ", o.pad);
  const std::int64_t both = o.pad + (o.pad_end < 0 ? o.pad : o.pad_end);
  require<ShapeError>(x[1] + both >= w[1] && x[2] + both >= w[2], "conv2d: padded input ", x,
                      " is smaller than weight ", w);
  return {x[0],
          x[1],
          x[2],
          x[3],
          w[0],
          w[1],
          w[2],
          o.stride,
          o.pad,
          (x[1] + both - w[1]) / o.stride + 1,
          (x[2] + both - w[2]) / o.stride + 1};
}

inline Shape conv2d_result_shape(const Conv2dGeometry& g) { return {g.batch, g.out_height, g.out_width, g.out}; }

}  // namespace detail

/// Cross-correlation of x [B, H, W, C] with w [O, kh, kw, C] plus bias [O] (may be undefined): [B, H', W', O] with
/// H' = (H + pad + pad_end - kh) / stride + 1. A constant weight gives the same bits as its float copy. Throws
/// ShapeError, or OptionError for the options.
template <class T, class D, WeightFor<T, D> W>
Tensor<T, D> conv2d(const Tensor<T, D>& x, const W& w, const std::type_identity_t<Tensor<T, D>>& bias,
                    Conv2dOptions options = {}) {
  const Conv2dGeometry g = detail::conv2d_geometry(x.shape(), w.shape(), options);
  require<ShapeError>(!bias.defined() || (bias.rank() == 1 && bias.dim(0) == g.out), "conv2d: bias ", bias.shape(),
                      " for weight ", w.shape());
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(conv2d(detail::wide(x), detail::wide(w), detail::wide(bias), options));
  } else {
    Tensor<T, D> y(detail::conv2d_result_shape(g));
    using backend::conv2d;  // or that of the device's namespace
    conv2d(D{}, g, x.data(), detail::elements(w), bias.data(), y.data());
    return y;
  }
}

/// Gradient of `conv2d` with respect to its input of shape `x_shape`, for the gradient `gy` of its result. Throws
/// ShapeError.
template <class T, class D, WeightFor<T, D> W>
Tensor<T, D> conv2d_input_gradient(const Tensor<T, D>& gy, const W& w, const Shape& x_shape,
                                   Conv2dOptions options = {}) {
  const Conv2dGeometry g = detail::conv2d_geometry(x_shape, w.shape(), options);
  require_same_shape("conv2d_input_gradient", gy.shape(), detail::conv2d_result_shape(g));
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(conv2d_input_gradient(detail::wide(gy), detail::wide(w), x_shape, options));
  } else {
    if constexpr (std::same_as<W, ConstantTensor>)
      if (w.strip() > 0) return conv2d_input_gradient(gy, widen(w), x_shape, options);
    Tensor<T, D> gx(x_shape);
    using backend::conv2d_input_gradient;
    conv2d_input_gradient(D{}, g, gy.data(), detail::elements(w), gx.data());
    return gx;
  }
}

/// Gradient of `conv2d` with respect to its weight of shape `w_shape`. Throws ShapeError.
template <class T, class D>
Tensor<T, D> conv2d_weight_gradient(const Tensor<T, D>& gy, const Tensor<T, D>& x, const Shape& w_shape,
                                    Conv2dOptions options = {}) {
  const Conv2dGeometry g = detail::conv2d_geometry(x.shape(), w_shape, options);
  require_same_shape("conv2d_weight_gradient", gy.shape(), detail::conv2d_result_shape(g));
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(conv2d_weight_gradient(detail::wide(gy), detail::wide(x), w_shape, options));
  } else {
    Tensor<T, D> gw(w_shape);
    using backend::conv2d_weight_gradient;
    conv2d_weight_gradient(D{}, g, gy.data(), x.data(), gw.data());
    return gw;
  }
}

}  // namespace hypersd::ops
