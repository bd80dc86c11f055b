// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/map.hpp>
#include <hypersd/ops/matmul.hpp>

namespace hypersd::ops {

/// y = x W^T + b: x [..., in], w [out, in], bias [out] (may be undefined) -> [..., out]. Throws ShapeError.
template <class T, class D>
Tensor<T, D> linear(const Tensor<T, D>& x, const Tensor<T, D>& w, const Tensor<T, D>& bias) {
  require<ShapeError>(x.rank() >= 1 && w.rank() == 2 && x.dim(-1) == w.dim(1), "linear: input ", x.shape(),
                      " and weight ", w.shape());
  require<ShapeError>(!bias.defined() || (bias.rank() == 1 && bias.dim(0) == w.dim(0)), "linear: bias ", bias.shape(),
                      " for weight ", w.shape());
  Tensor<T, D> y(x.shape().with(-1, w.dim(0)));
  // Rows are counted in y: x is empty if `in` is 0.
  backend::linear(D{}, y.size() / std::max<std::int64_t>(1, w.dim(0)), w.dim(0), w.dim(1), x.data(), w.data(),
                  bias.data(), y.data());
  return y;
}

/// f(x W^T + b) for a functor of one element (`Silu`, `Gelu`): the bias is added by the matmul, f is a pass over the
/// result in place. (The GELU epilogue of cuBLASLt is the approximation by tanh and is not used.)
template <class T, class D, class F>
Tensor<T, D> linear(const Tensor<T, D>& x, const Tensor<T, D>& w, const Tensor<T, D>& bias, const F& f) {
  const Tensor<T, D> y = linear(x, w, bias);
  map_into(y, f, y);
  return y;
}

}  // namespace hypersd::ops
