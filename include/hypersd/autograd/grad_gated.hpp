// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/gated.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::gated`: a f(g) for x [..., 2C] = (a, g).
template <class F, class T, class D>
Var<T, D> gated(const F& f, const Var<T, D>& x) {
  return make_result<T, D>(ops::gated(f, x.value()), {x},
                           [f, x](const Tensor<T, D>& g) { x.accumulate(ops::gated_gradient(f, g, x.value())); });
}

/// a gelu(g) for x [..., 2C] = (a, g): the feed-forward gate of diffusion transformers.
template <class T, class D>
Var<T, D> geglu(const Var<T, D>& x) {
  return gated(ops::Gelu{}, x);
}

/// a silu(g) for x [..., 2C] = (a, g).
template <class T, class D>
Var<T, D> swiglu(const Var<T, D>& x) {
  return gated(ops::Silu{}, x);
}

}  // namespace hypersd::autograd
