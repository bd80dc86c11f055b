// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/ops/softmax.hpp>

namespace hypersd::autograd {

/// Softmax over the last axis.
template <class T, class D>
Var<T, D> softmax(const Var<T, D>& x) {
  auto y = ops::softmax(x.value());
  return make_result<T, D>(y, {x}, [x, y](const Tensor<T, D>& g) { x.accumulate(ops::softmax_backward(g, y)); });
}

/// Mean cross entropy of logits [B, K] against class numbers [B], with label smoothing in [0, 1].
template <class T, class D>
Var<T, D> cross_entropy(const Var<T, D>& logits, const Tensor<std::int32_t, D>& labels, double smoothing = 0.0) {
  require<ShapeError>(logits.rank() == 2 && labels.shape() == Shape{logits.dim(0)}, "cross_entropy: logits ",
                      logits.shape(), ", labels ", labels.shape());
  require<OptionError>(smoothing >= 0 && smoothing <= 1, "cross_entropy: label smoothing ", smoothing);
  const std::int64_t rows = logits.dim(0);
  Tensor<T, D> loss(Shape{rows}), gradient(logits.shape());
  ops::backend::cross_entropy(D{}, loss.data(), gradient.data(), logits.value().data(), labels.data(), rows,
                              logits.dim(1), static_cast<T>(smoothing));
  auto mean = ops::sum(loss);
  const T scale = T(1) / static_cast<T>(std::max<std::int64_t>(1, rows));
  ops::map_into(mean, ops::Affine<T>{scale, T(0)}, mean);
  return make_result<T, D>(std::move(mean), {logits}, [logits, gradient, scale](const Tensor<T, D>& g) {
    Tensor<T, D> gx(gradient.shape());
    ops::map_into(gx, ops::Mul{}, gradient, ops::everywhere(g));
    ops::map_into(gx, ops::Affine<T>{scale, T(0)}, gx);
    logits.accumulate(std::move(gx));
  });
}

}  // namespace hypersd::autograd
