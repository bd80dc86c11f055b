// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/cast.hpp>
#include <vector>

/// \file
/// Tapes of one element type within a tape of another: what mixed precision needs.

namespace hypersd::autograd {

/// `inner`, the end of a tape in another element type, as a variable of this one. `leaves` are where that tape began,
/// each with the value of the input of the same place: gradients come back to `inputs` through them, and parameters of
/// the inner tape get theirs. That tape must lead to this variable only, since it is walked from here, once.
template <class To, class From, class D>
Var<To, D> cross(const Var<From, D>& inner, const std::vector<Var<To, D>>& inputs,
                 const std::vector<Var<From, D>>& leaves) {
  require<Error>(inputs.size() == leaves.size(), "cross: ", inputs.size(), " inputs and ", leaves.size(), " leaves");
  // Parameters of the inner tape are unknown to this one: an empty leaf asks for the gradient.
  std::vector<Var<To, D>> asking = inputs;
  if (inner.requires_grad()) asking.emplace_back(Tensor<To, D>(Shape{0}), true);
  return make_result<To, D>(ops::cast<To>(inner.value()), asking, [inner, inputs, leaves](const Tensor<To, D>& g) {
    if (!inner.requires_grad()) return;
    backward(inner, ops::cast<From>(g));
    for (std::size_t i = 0; i < leaves.size(); ++i)
      if (leaves[i].grad().defined()) inputs[i].accumulate(ops::cast<To>(leaves[i].grad()));
  });
}

/// A loss in the element type of the parameters that are trained, which a training loop asks for; its value is rounded
/// to that type, the gradients that lead to it are not. The loss must not be used otherwise.
template <class To, class From, class D>
Var<To, D> cast_loss(const Var<From, D>& loss) {
  return cross<To, From, D>(loss, {}, {});
}

}  // namespace hypersd::autograd
