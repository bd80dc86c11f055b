// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/copy.hpp>
#include <hypersd/ops/gated.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::gated`: a f(g) for x [..., 2C] = (a, g).
template <class F, class T, class D>
Var<T, D> gated(const F& f, const Var<T, D>& x) {
  return make_result<T, D>(
      ops::gated(f, x.value()), {x},
      [f, x](const Tensor<T, D>& g) { x.accumulate(ops::gated_gradient(f, g, x.value())); },
      [&] {
        // The gradient kernel computes (v f(g), v a f'(g)) for any v; the tangent is da f(g) + a f'(g) dg.
        const std::int64_t half = x.dim(-1) / 2;
        const auto part = [&](std::int64_t begin) {
          const auto v = ops::slice_last(x.tangent(), begin, begin + half);
          return ops::slice_last(ops::gated_gradient(f, v, x.value()), begin, begin + half);
        };
        return ops::map(ops::Add{}, part(0), part(half));
      });
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
