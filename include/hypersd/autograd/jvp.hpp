// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <utility>

/// \file
/// Forward-mode differentiation: tangents are carried beside the values, through any module and with no tape.

namespace hypersd::autograd {

/// A point and a direction there, of one shape. An undefined direction is zero.
template <Scalar T, Device D = Cpu>
struct Dual {
  Tensor<T, D> value, tangent;

  /// The variable that `jvp` passes to its function: a leaf with this value and tangent.
  [[nodiscard]] Var<T, D> variable() const {
    Var<T, D> v(value);
    if (tangent.defined()) v.set_tangent(tangent);
    return v;
  }
};
template <class T, class D>
Dual(Tensor<T, D>, Tensor<T, D>) -> Dual<T, D>;

/// f(x, ...) and its derivative J dx + ... along a direction, in one pass: `inputs` are pairs {x, dx}, `f` gets
/// variables and returns one. Costs about two passes and keeps nothing of them. Parameters and whatever else `f`
/// captures are constants; so is what `f` computes from `x.value()` or `x.detach()` (stop-gradient). The value has its
/// tape as always, unless the caller forbids it by `NoGrad`; the tangent has none. Throws ShapeError for a direction of
/// another shape, Error for an operation without a forward rule.
template <class F, class... T, class... D>
auto jvp(F&& f, const Dual<T, D>&... inputs) {
  auto out = std::forward<F>(f)(inputs.variable()...);
  using V = decltype(out);
  struct Result {
    V value;                                                          ///< f(x, ...)
    Tensor<typename V::value_type, typename V::device_type> tangent;  ///< of its shape
  };
  auto tangent =
      out.has_tangent() ? out.tangent() : Tensor<typename V::value_type, typename V::device_type>::zeros(out.shape());
  return Result{std::move(out), std::move(tangent)};
}

}  // namespace hypersd::autograd
