// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <tuple>

namespace hypersd::autograd {

namespace detail {

template <class T, class D, class Fn, class... In>
Var<T, D> checkpoint(const Fn& fn, const In&... inputs) {
  if (!grad_enabled()) return fn(inputs...);
  Var<T, D> result;
  {
    const NoGrad guard;
    result = fn(inputs...);
  }
  // The parameters inside `fn` are unknown here. An empty leaf makes the result require a gradient in any case.
  const Var<T, D> inside(Tensor<T, D>(Shape{0}), true);
  auto backward_pass = [fn, inputs...](const Tensor<T, D>& g) {
    const EnableGrad guard;
    const std::tuple leaves{(inputs.defined() ? Var<T, D>(inputs.value(), inputs.requires_grad()) : Var<T, D>())...};
    const Var<T, D> out = std::apply(fn, leaves);
    if (!out.requires_grad()) return;
    backward(out, g);
    std::apply(
        [&](const auto&... leaf) {
          ((leaf.defined() && leaf.grad().defined() ? inputs.accumulate(leaf.grad()) : void()), ...);
        },
        leaves);
  };
  return make_result<T, D>(result.value(), {inside, inputs...}, std::move(backward_pass), [&] {
    return result.has_tangent() ? result.tangent() : Tensor<T, D>::zeros(result.shape());
  });
}

}  // namespace detail

/// fn(first, rest...) that keeps none of its intermediate results. The backward pass runs `fn` a second time (Chen et
/// al., 2016, "Training deep nets with sublinear memory cost"). `fn` is a copyable, deterministic function of
/// variables, some of which may be undefined. Parameters that it captures get their gradients. Any other variable with
/// history has to be an argument.
template <class Fn, class T, class D, class... Rest>
Var<T, D> checkpoint(const Fn& fn, const Var<T, D>& first, const Rest&... rest) {
  return detail::checkpoint<T, D>(fn, first, rest...);
}

}  // namespace hypersd::autograd
