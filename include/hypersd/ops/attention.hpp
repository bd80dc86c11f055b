// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/attention.hpp>
#include <hypersd/ops/cpu/attention_gradient.hpp>
#include <hypersd/ops/cpu/attention_tangent.hpp>
#include <hypersd/ops/cpu/in_float.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/attention.hpp>
#include <hypersd/ops/cuda/kernels.cuh>
#endif

/// \file
/// Multi-head scaled dot-product attention (Vaswani et al., 2017) by tiles with a running softmax (Dao et al., 2022,
/// "FlashAttention"). The score matrix is never stored; gradients and tangents recompute it from one number a row.

namespace hypersd::ops {

/// Result of `attention`: y [B, N, C] and the logarithm of each row's sum of exponentials, [B, heads, N].
template <class T, class D>
struct AttentionResult {
  Tensor<T, D> y;
  Tensor<Accumulator<T>, D> log_sum;
};
/// Gradients of `attention` with respect to queries, keys and values.
template <class T, class D>
struct AttentionGradient {
  Tensor<T, D> q, k, v;
};
/// Tangents of queries, keys and values; undefined tensors are zero.
template <class T, class D>
struct AttentionTangents {
  Tensor<T, D> q, k, v;
};

namespace detail {

inline AttentionGeometry attention_geometry(const Shape& q, const Shape& k, const Shape& v, std::int64_t heads,
                                            bool causal) {
  require<ShapeError>(q.rank() == 3 && k.rank() == 3 && k == v && q[0] == k[0] && q[2] == k[2] && k[1] > 0,
                      "attention: queries ", q, ", keys ", k, " and values ", v, " do not match");
  require<ShapeError>(heads >= 1 && q[2] > 0 && q[2] % heads == 0, "attention: queries ", q, " cannot be split into ",
                      heads, " heads");
  require<ShapeError>(!causal || q[1] == k[1],
                      "attention: causal attention needs as many keys as queries, not queries ", q, " and keys ", k);
  return {q[0], heads, q[1], k[1], q[2] / heads, causal};
}

}  // namespace detail

/// softmax(Q K^T / sqrt(C / heads)) V for each head: q [B, N, C], k and v [B, M, C], M > 0; head h is columns
/// [h C / heads, (h + 1) C / heads). `causal` masks keys after the query's own position and needs N = M. Throws
/// ShapeError.
template <class T, class D>
AttentionResult<T, D> attention(const Tensor<T, D>& q, const Tensor<T, D>& k, const Tensor<T, D>& v, std::int64_t heads,
                                bool causal = false) {
  const AttentionGeometry g = detail::attention_geometry(q.shape(), k.shape(), v.shape(), heads, causal);
  if constexpr (detail::in_float<T, D>) {
    const auto out = attention(detail::wide(q), detail::wide(k), detail::wide(v), heads, causal);
    return {cast<T>(out.y), out.log_sum};
  } else {
    AttentionResult<T, D> out{Tensor<T, D>(q.shape()), Tensor<Accumulator<T>, D>(Shape{g.batch, heads, g.queries})};
    if (out.y.size() > 0) backend::attention(D{}, g, q.data(), k.data(), v.data(), out.y.data(), out.log_sum.data());
    return out;
  }
}

/// Backward pass of `attention`: gradients for the gradient `gy` [B, N, C] of y. Throws ShapeError.
template <class T, class D>
AttentionGradient<T, D> attention_gradient(const Tensor<T, D>& gy, const Tensor<T, D>& q, const Tensor<T, D>& k,
                                           const Tensor<T, D>& v, const AttentionResult<T, D>& forward,
                                           std::int64_t heads, bool causal = false) {
  const AttentionGeometry g = detail::attention_geometry(q.shape(), k.shape(), v.shape(), heads, causal);
  require_same_shape("attention_gradient", gy.shape(), q.shape());
  if constexpr (detail::in_float<T, D>) {
    const auto out =
        attention_gradient(detail::wide(gy), detail::wide(q), detail::wide(k), detail::wide(v),
                           AttentionResult<float, D>{detail::wide(forward.y), forward.log_sum}, heads, causal);
    return {cast<T>(out.q), cast<T>(out.k), cast<T>(out.v)};
  } else {
    AttentionGradient<T, D> out{Tensor<T, D>(q.shape()), Tensor<T, D>(k.shape()), Tensor<T, D>(v.shape())};
    backend::attention_gradient(D{}, g, gy.data(), q.data(), k.data(), v.data(), forward.y.data(),
                                forward.log_sum.data(), out.q.data(), out.k.data(), out.v.data());
    return out;
  }
}

/// The derivative of y = `attention`(q, k, v) along `tangents`, [B, N, C]: with weights p = exp(s - log_sum) and
/// ds = (dq k + q dk) / sqrt(dim), dy = sum_j p (ds v + dv) - y sum_j p ds. Throws ShapeError.
template <class T, class D>
Tensor<T, D> attention_tangent(const AttentionTangents<T, D>& tangents, const Tensor<T, D>& q, const Tensor<T, D>& k,
                               const Tensor<T, D>& v, const AttentionResult<T, D>& forward, std::int64_t heads,
                               bool causal = false) {
  const AttentionGeometry g = detail::attention_geometry(q.shape(), k.shape(), v.shape(), heads, causal);
  const auto check = [](const char* name, const Tensor<T, D>& tangent, const Tensor<T, D>& of) {
    if (tangent.defined()) require_same_shape(name, of.shape(), tangent.shape());
  };
  check("tangent of queries", tangents.q, q);
  check("tangent of keys", tangents.k, k);
  check("tangent of values", tangents.v, v);
  if (g.keys == 1)  // constant weights: y = v
    return tangents.v.defined() ? attention(q, k, tangents.v, heads, causal).y : Tensor<T, D>::zeros(q.shape());
  if constexpr (Narrow<T>) {  // products of a weight and a tangent leave the range of half
    return cast<T>(attention_tangent<float, D>(
        {detail::wide(tangents.q), detail::wide(tangents.k), detail::wide(tangents.v)}, detail::wide(q),
        detail::wide(k), detail::wide(v), {detail::wide(forward.y), forward.log_sum}, heads, causal));
  } else {
    const auto pointer = [](const Tensor<T, D>& x) -> const T* { return x.defined() ? x.data() : nullptr; };
    const Tensor<T, D> out(q.shape());
    if (out.size() > 0)
      backend::attention_tangent(D{}, g,
                                 {q.data(), k.data(), v.data(), pointer(tangents.q), pointer(tangents.k),
                                  pointer(tangents.v), forward.y.data(), forward.log_sum.data()},
                                 out.data());
    return out;
  }
}

}  // namespace hypersd::ops
