// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/attention_cpu.hpp>
#if HYPERSD_HAS_CUDA && __has_include(<hypersd/ops/attention_cuda.cuh>)
#include <hypersd/ops/attention_cuda.cuh>
#endif

namespace hypersd::ops {

/// Attention output [B, N, C] and the log-sum-exp of each score row [B, heads, N], which is all the gradient needs.
template <class T, class D>
struct AttentionResult {
  Tensor<T, D> y, lse;
};

/// Gradients with respect to queries, keys and values.
template <class T, class D>
struct AttentionGradients {
  Tensor<T, D> q, k, v;
};

namespace detail {

inline AttentionGeometry attention_geometry(const Shape& q, const Shape& k, const Shape& v, std::int64_t heads,
                                            bool causal) {
  const bool ranks = q.rank() == 3 && k.rank() == 3 && k == v && q[0] == k[0] && q[2] == k[2];
  require<ShapeError>(ranks, "attention: queries ", q, ", keys ", k, ", values ", v);
  require<OptionError>(heads >= 1 && q[2] % heads == 0, "attention: ", heads, " heads do not divide ", q[2],
                       " channels");
  require<ShapeError>(k[1] >= 1, "attention: no keys in ", k, " (an empty condition)");
  require<ShapeError>(!causal || q[1] == k[1], "attention: a causal mask needs as many queries as keys: ", q, ", ", k);
  return {q[0], q[1], k[1], heads, q[2] / heads, causal};
}

}  // namespace detail

/// softmax(q k^T / sqrt(C / heads)) v for each head; q [B, N, C], k and v [B, M, C], head h in columns h C / heads on.
/// With `causal`, query i sees keys 0..i. The score matrix is never stored whole.
template <class T, class D>
AttentionResult<T, D> attention(const Tensor<T, D>& q, const Tensor<T, D>& k, const Tensor<T, D>& v,
                                std::int64_t heads, bool causal = false) {
  const auto g = detail::attention_geometry(q.shape(), k.shape(), v.shape(), heads, causal);
  AttentionResult<T, D> out{Tensor<T, D>(q.shape()), Tensor<T, D>(Shape{g.batch, heads, g.queries})};
  backend::attention(D{}, g, q.data(), k.data(), v.data(), out.y.data(), out.lse.data());
  return out;
}

/// Gradient of `attention`; `y` and `lse` are its results.
template <class T, class D>
AttentionGradients<T, D> attention_backward(const Tensor<T, D>& gy, const Tensor<T, D>& q, const Tensor<T, D>& k,
                                            const Tensor<T, D>& v, const Tensor<T, D>& y, const Tensor<T, D>& lse,
                                            std::int64_t heads, bool causal = false) {
  const auto g = detail::attention_geometry(q.shape(), k.shape(), v.shape(), heads, causal);
  AttentionGradients<T, D> out{Tensor<T, D>(q.shape()), Tensor<T, D>(k.shape()), Tensor<T, D>(v.shape())};
  backend::attention_backward(D{}, g, gy.data(), q.data(), k.data(), v.data(), y.data(), lse.data(), out.q.data(),
                              out.k.data(), out.v.data());
  return out;
}

}  // namespace hypersd::ops
