// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>
#include <hypersd/ops/weight.hpp>
#include <type_traits>

namespace hypersd::ops {

/// y = x W^T + b: x [..., in], w [out, in], bias [out] (may be undefined) -> [..., out]. A constant weight gives the
/// same bits as its float copy. Throws ShapeError.
template <class T, class D, WeightFor<T, D> W>
Tensor<T, D> linear(const Tensor<T, D>& x, const W& w, const std::type_identity_t<Tensor<T, D>>& bias) {
  require<ShapeError>(x.rank() >= 1 && w.rank() == 2 && x.dim(-1) == w.dim(1), "linear: input ", x.shape(),
                      " and weight ", w.shape());
  require<ShapeError>(!bias.defined() || (bias.rank() == 1 && bias.dim(0) == w.dim(0)), "linear: bias ", bias.shape(),
                      " for weight ", w.shape());
  Tensor<T, D> y(x.shape().with(-1, w.dim(0)));
  // Rows are counted in y: x is empty if `in` is 0.
  backend::linear(D{}, y.size() / std::max<std::int64_t>(1, w.dim(0)), w.dim(0), w.dim(1), x.data(),
                  detail::elements(w), bias.data(), y.data());
  return y;
}

/// Gradient of `linear` with respect to its input, for the gradient gy [..., out] of its result: gy W [..., in]. Throws
/// ShapeError.
template <class T, class D, WeightFor<T, D> W>
Tensor<T, D> linear_input_gradient(const Tensor<T, D>& gy, const W& w) {
  require<ShapeError>(gy.rank() >= 1 && w.rank() == 2 && gy.dim(-1) == w.dim(0), "linear_input_gradient: gradient ",
                      gy.shape(), " and weight ", w.shape());
  if constexpr (std::same_as<W, ConstantTensor>)
    if (w.strip() > 0) return linear_input_gradient(gy, widen(w));
  Tensor<T, D> gx(gy.shape().with(-1, w.dim(1)));
  const GemmShape shape{gx.size() / std::max<std::int64_t>(1, w.dim(1)), w.dim(1), w.dim(0)};
  using A = Accumulator<T>;
  backend::gemm(D{}, shape, A(1), gy.data(), w.dim(0), detail::elements(w), w.dim(1), A(0), gx.data(), w.dim(1));
  return gx;
}

/// f(x W^T + b) for a functor of one element (`Silu`, `Gelu`): the bias is added by the matmul, f is a pass over the
/// result in place. (The GELU epilogue of cuBLASLt is the approximation by tanh and is not used.)
template <class T, class D, WeightFor<T, D> W, class F>
Tensor<T, D> linear(const Tensor<T, D>& x, const W& w, const std::type_identity_t<Tensor<T, D>>& bias, const F& f) {
  const Tensor<T, D> y = linear(x, w, bias);
  map_into(y, f, y);
  return y;
}

}  // namespace hypersd::ops
