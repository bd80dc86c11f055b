// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/autograd/grad_map.hpp>

namespace hypersd::autograd {

/// a gelu(g): arguments (a, g).
struct GatedGelu {
  template <class T>
  HYPERSD_HD T operator()(T a, T g) const {
    return a * ops::Gelu{}(g);
  }
  template <int I, class T>
  HYPERSD_HD T d(T a, T g) const {
    return I == 0 ? ops::Gelu{}(g) : a * ops::Gelu{}.template d<0>(g);
  }
};

/// GEGLU: the halves (a, g) of the last axis, a first, give a gelu(g): [..., 2C] -> [..., C].
template <class T, class D>
Var<T, D> geglu(const Var<T, D>& x) {
  require<ShapeError>(x.rank() > 0 && x.dim(-1) % 2 == 0, "geglu: odd channel count in ", x.shape());
  const std::int64_t half = x.dim(-1) / 2;
  return map(GatedGelu{}, slice_channels(x, 0, half), slice_channels(x, half, 2 * half));
}

}  // namespace hypersd::autograd
