// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>

namespace hypersd::distill {

/// g^2 / 2, whose derivative by x is g.
struct InjectedGradient {
  template <class T>
  HYPERSD_HD T operator()(T, T g) const {
    return T(0.5) * g * g;
  }
  template <int I, class T>
  HYPERSD_HD T d(T, T g) const {
    return I == 0 ? g : T(0);
  }
};

/// A loss whose gradient with respect to x is g / elements: mean 1/2 (x - stopgrad(x - g))^2, without the difference
/// x - g, in which 16 bits would lose a small g. How score distillation brings a direction that is no loss's gradient
/// (a difference of scores) into backpropagation.
template <class T, class D>
Var<T, D> inject_gradient(const Var<T, D>& x, const Tensor<T, D>& g) {
  require_same_shape("inject_gradient", x.shape(), g.shape());
  return autograd::map_mean(InjectedGradient{}, x, g);
}

}  // namespace hypersd::distill
