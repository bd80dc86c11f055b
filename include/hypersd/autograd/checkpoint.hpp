// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>

namespace hypersd::autograd {

/// fn(inputs...) without keeping its activations: the backward pass runs `fn` again. Parameters that `fn` captures get
/// their gradients; `fn` must be deterministic. At least one input must be tracked for the result to be.
template <class Fn, class T, class D, class... Rest>
Var<T, D> checkpoint(Fn fn, const Var<T, D>& first, const Rest&... rest) {
  Tensor<T, D> value;
  {
    const NoGrad guard;
    value = fn(first, rest...).value();
  }
  return make_result<T, D>(std::move(value), {first, rest...}, [fn, first, rest...](const Tensor<T, D>& g) {
    const EnableGrad on;
    const std::vector<Var<T, D>> outer{first, rest...};
    std::vector<Var<T, D>> inner;
    for (const auto& v : outer) inner.emplace_back(v.value(), v.requires_grad());
    auto call = [&]<std::size_t... I>(std::index_sequence<I...>) { return fn(inner[I]...); };
    backward(call(std::make_index_sequence<1 + sizeof...(Rest)>{}), g);
    for (std::size_t i = 0; i < outer.size(); ++i)
      if (inner[i].grad().defined()) outer[i].accumulate(inner[i].grad());
  });
}

}  // namespace hypersd::autograd
