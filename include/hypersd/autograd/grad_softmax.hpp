// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/reduce.hpp>
#include <hypersd/ops/softmax.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::softmax` over the last axis.
template <class T, class D>
Var<T, D> softmax(const Var<T, D>& x) {
  auto y = ops::softmax(x.value());
  return make_result<T, D>(
      y, {x}, [x, y](const Tensor<T, D>& g) { x.accumulate(ops::softmax_gradient(g, y)); },
      [&] { return ops::softmax_gradient(x.tangent(), y); });  // its Jacobian is symmetric
}

/// Differentiable `ops::cross_entropy`: logits [B, K], labels [B] in [0, K), mean over the batch, shape [1].
/// `label_smoothing` in [0, 1] is the share of the target that is spread over all classes.
template <class T, class D>
Var<T, D> cross_entropy(const Var<T, D>& logits, const Tensor<std::int32_t, D>& labels, double label_smoothing = 0) {
  return make_result<T, D>(
      ops::cross_entropy(logits.value(), labels, label_smoothing), {logits},
      [logits, labels, label_smoothing](const Tensor<T, D>& g) {
        logits.accumulate(ops::cross_entropy_gradient(g, logits.value(), labels, label_smoothing));
      },
      [&] {
        const auto slope =
            ops::cross_entropy_gradient(Tensor<T, D>::ones(Shape{1}), logits.value(), labels, label_smoothing);
        Tensor<T, D> tangent(Shape{1});
        ops::map_into(tangent, ops::Identity{}, ops::wide_map_sum(ops::Mul{}, slope, logits.tangent()));
        return tangent;
      });
}

}  // namespace hypersd::autograd
