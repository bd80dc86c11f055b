// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/cast.hpp>
#include <vector>

/// \file
/// A tape of one element type inside a tape of another, for mixed precision.

namespace hypersd::autograd {

/// A leaf of element type `To` with the value and the tangent of `x`; it requires a gradient if `x` is tracked.
template <class To, class From, class D>
Var<To, D> leaf(const Var<From, D>& x) {
  Var<To, D> out(ops::cast<To>(x.value()), x.tracked());
  if (x.has_tangent()) out.set_tangent(ops::cast<To>(x.tangent()));
  return out;
}

/// Casts `inner`, the result of a tape of element type `From`, to type `To`. `leaves` are the leaves of that tape;
/// leaves[i] holds the value of inputs[i]. The backward pass runs through the inner tape, which gives its parameters
/// their gradients, and adds the gradient of leaves[i] to inputs[i]. `inner` must not be used otherwise: its tape is
/// walked once, from here. Tangents cross with the values: `leaf` makes leaves that have them. Throws Error unless
/// there are as many leaves as inputs.
template <class To, class From, class D>
Var<To, D> cross(const Var<From, D>& inner, const std::vector<Var<To, D>>& inputs,
                 const std::vector<Var<From, D>>& leaves) {
  require<Error>(inputs.size() == leaves.size(), "cross: ", inputs.size(), " inputs and ", leaves.size(), " leaves");
  // The parameters of the inner tape are unknown here. An empty leaf makes the result require a gradient.
  std::vector<Var<To, D>> tracked = inputs;
  if (inner.requires_grad()) tracked.emplace_back(Tensor<To, D>(Shape{0}), true);
  return make_result<To, D>(
      ops::cast<To>(inner.value()), tracked,
      [inner, inputs, leaves](const Tensor<To, D>& g) {
        if (!inner.requires_grad()) return;
        backward(inner, ops::cast<From>(g));
        for (std::size_t i = 0; i < leaves.size(); ++i)
          if (leaves[i].grad().defined()) inputs[i].accumulate(ops::cast<To>(leaves[i].grad()));
      },
      [&] { return inner.has_tangent() ? ops::cast<To>(inner.tangent()) : Tensor<To, D>::zeros(inner.shape()); });
}

/// Casts a loss to the element type of the trained parameters, as a training loop expects. Only the value of the loss
/// is rounded to that type; gradients are computed in the type of `loss`. `loss` must not be used otherwise.
template <class To, class From, class D>
Var<To, D> cast_loss(const Var<From, D>& loss) {
  return cross<To, From, D>(loss, {}, {});
}

}  // namespace hypersd::autograd
