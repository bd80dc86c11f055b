// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/attention.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::attention` with `heads` heads: q [B, N, C], k and v [B, M, C] -> [B, N, C]. With `causal`,
/// position i attends to 0..i only. Throws ShapeError.
template <class T, class D>
Var<T, D> attention(const Var<T, D>& q, const Var<T, D>& k, const Var<T, D>& v, std::int64_t heads,
                    bool causal = false) {
  auto forward = ops::attention(q.value(), k.value(), v.value(), heads, causal);
  return make_result<T, D>(
      forward.y, {q, k, v},
      [q, k, v, forward, heads, causal](const Tensor<T, D>& g) {
        auto grad = ops::attention_gradient(g, q.value(), k.value(), v.value(), forward, heads, causal);
        q.accumulate(std::move(grad.q));
        k.accumulate(std::move(grad.k));
        v.accumulate(std::move(grad.v));
      },
      [&] {
        const ops::AttentionTangents<T, D> tangents{q.tangent(), k.tangent(), v.tangent()};
        return ops::attention_tangent(tangents, q.value(), k.value(), v.value(), forward, heads, causal);
      });
}

}  // namespace hypersd::autograd
