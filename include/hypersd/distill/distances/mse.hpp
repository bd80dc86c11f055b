// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/distance.hpp>

namespace hypersd::distill {

/// Mean of (x - y)^2 over all elements.
struct Mse {
  struct Options {};
  Options options{};
  static constexpr bool learns() { return false; }
  template <class T, class D, class Where>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>& y, const Where& where) const {
    return compare(x, y, where, [](const Var<T, D>& a, const Tensor<T, D>& b) { return autograd::mse(a, b); });
  }
};

}  // namespace hypersd::distill
