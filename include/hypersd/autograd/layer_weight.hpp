// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/weight.hpp>
#include <vector>

namespace hypersd::autograd {

/// The weight of a layer whose input is a Var<T, D>: a variable, or a constant of 16 bits that stays as it is stored.
template <class W, class T, class D>
concept LayerWeight = std::same_as<W, Var<T, D>> ||(std::same_as<W, ConstantTensor>&& ops::takes_constant<T, D>);

namespace detail {

template <class T, class D>
const Tensor<T, D>& layer_value(const Var<T, D>& w) {
  return w.value();
}
inline const ConstantTensor& layer_value(const ConstantTensor& w) { return w; }

/// The variables among the operands of a layer.
template <class T, class D>
std::vector<Var<T, D>> layer_inputs(const Var<T, D>& x, const Var<T, D>& w, const Var<T, D>& bias) {
  return {x, w, bias};
}
template <class T, class D>
std::vector<Var<T, D>> layer_inputs(const Var<T, D>& x, const ConstantTensor&, const Var<T, D>& bias) {
  return {x, bias};
}

/// The tangent of a layer y(x, w, bias) that is linear in x and in (w, bias).
template <class T, class D, class W, class Layer>
Tensor<T, D> layer_tangent(const Var<T, D>& x, const W& w, const Var<T, D>& bias, const Layer& layer) {
  Tensor<T, D> sum;
  if (x.has_tangent()) sum = layer(x.tangent(), layer_value(w), Tensor<T, D>{});
  if constexpr (std::same_as<W, Var<T, D>>) {
    if (w.has_tangent()) {
      add_tangent(sum, layer(x.value(), w.tangent(), bias.has_tangent() ? bias.tangent() : Tensor<T, D>{}));
      return sum;
    }
  }
  // A layer of zero weights adds the tangent of the bias at each position.
  if (bias.has_tangent()) add_tangent(sum, layer(x.value(), Tensor<T, D>::zeros(w.shape()), bias.tangent()));
  return sum;
}

}  // namespace detail

}  // namespace hypersd::autograd
