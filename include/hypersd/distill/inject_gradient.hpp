// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>

namespace hypersd::distill {

/// A loss whose gradient with respect to x is g / elements: mean 1/2 (x - stopgrad(x - g))^2. How score distillation
/// brings a direction that is no loss's gradient (a difference of scores) into backpropagation.
template <class T, class D>
Var<T, D> inject_gradient(const Var<T, D>& x, const Tensor<T, D>& g) {
  require_same_shape("inject_gradient", x.shape(), g.shape());
  return autograd::affine(autograd::mse(x, ops::map(ops::Sub{}, x.value(), g)), Accumulator<T>(0.5));
}

}  // namespace hypersd::distill
