// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/attention.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::attention`: q [B, N, C], k and v [B, M, C].
template <class T, class D>
Var<T, D> attention(const Var<T, D>& q, const Var<T, D>& k, const Var<T, D>& v, std::int64_t heads,
                    bool causal = false) {
  auto out = ops::attention(q.value(), k.value(), v.value(), heads, causal);
  return make_result<T, D>(out.y, {q, k, v}, [q, k, v, heads, causal, out](const Tensor<T, D>& g) {
    auto grads = ops::attention_backward(g, q.value(), k.value(), v.value(), out.y, out.lse, heads, causal);
    q.accumulate(std::move(grads.q));
    k.accumulate(std::move(grads.k));
    v.accumulate(std::move(grads.v));
  });
}

}  // namespace hypersd::autograd
