// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/attention.hpp>

/// \file
/// Tangent of attention in one sweep over the scores, which are recomputed from
/// the saved row sums: sixteen queries in the lanes, three matmuls for scores
/// and their tangents, two for the result.

namespace hypersd::ops::backend {

/// Queries [first, first + lanes) of one head; pointers are at that head's
/// columns of its sample. `memory` holds 3 dim lanes.
template <class T>
void attend_tangent(const AttentionGeometry& g, const AttentionTangentInputs<T>& h, std::int64_t first, T* dy,
                    T* memory) {
  using V = Lanes<T>;
  constexpr int lanes = attention_lanes;
  const AttentionKernel<T> kernel = attention_kernel<T>();
  const std::int64_t stride = g.channels(), size = g.dim * lanes;
  const std::int64_t valid = std::min<std::int64_t>(lanes, g.queries - first);
  const T scale = T(1) / math::sqrt(static_cast<T>(g.dim));
  T* queries = memory;
  T* tangents = memory + size;
  T* results = memory + 2 * size;
  load_lanes(h.q + first * stride, stride, valid, g.dim, scale, queries);
  if (h.dq != nullptr) load_lanes(h.dq + first * stride, stride, valid, g.dim, scale, tangents);
  std::fill_n(results, size, T(0));
  T log_sum[lanes] = {};
  std::copy_n(h.log_sum + first, valid, log_sum);
  const V log_sums = V::load(log_sum);
  V total = V::splat(T(0));  // sum of p ds
  alignas(64) T p[attention_block * lanes], ds[attention_block * lanes], other[attention_block * lanes];
  const std::int64_t keys = g.causal ? std::min(g.keys, first + valid) : g.keys;
  for (std::int64_t key = 0; key < keys; key += attention_block) {
    const std::int64_t count = std::min(attention_block, keys - key);
    kernel.score(queries, h.k + key * stride, stride, count, g.dim, p);
    if (g.causal) mask(p, key, count, [=](std::int64_t j, int l) { return j <= first + l; });
    for (std::int64_t j = 0; j < count; ++j) (V::load(p + j * lanes) - log_sums).store(p + j * lanes);
    kernel.exp(p, count);
    if (h.dv != nullptr) kernel.add_weighted(p, h.dv + key * stride, stride, count, g.dim, results);
    if (h.dq == nullptr && h.dk == nullptr) continue;
    std::fill_n(ds, count * lanes, T(0));
    if (h.dq != nullptr) kernel.score(tangents, h.k + key * stride, stride, count, g.dim, ds);
    if (h.dk != nullptr) {
      kernel.score(queries, h.dk + key * stride, stride, count, g.dim, other);
      for (std::int64_t j = 0; j < count; ++j)
        (V::load(ds + j * lanes) + V::load(other + j * lanes)).store(ds + j * lanes);
    }
    for (std::int64_t j = 0; j < count; ++j) {
      const V weighted = V::load(p + j * lanes) * V::load(ds + j * lanes);
      total = total + weighted;
      weighted.store(ds + j * lanes);
    }
    kernel.add_weighted(ds, h.v + key * stride, stride, count, g.dim, results);
  }
  T sums[lanes];
  total.store(sums);
  for (std::int64_t l = 0; l < valid; ++l) {
    const std::int64_t row = (first + l) * stride;
    for (std::int64_t d = 0; d < g.dim; ++d) dy[row + d] = results[d * lanes + l] - sums[l] * h.y[row + d];
  }
}

template <class T>
void attention_tangent(const Cpu&, const AttentionGeometry& g, const AttentionTangentInputs<T>& in, T* dy) {
  constexpr std::int64_t lanes = attention_lanes;
  const std::int64_t pieces = (g.queries + lanes - 1) / lanes, work = 3 * lanes * g.keys * g.dim;
  parallel_for(
      g.batch * g.heads * pieces, std::max<std::int64_t>(1, 65536 / work), [&](std::int64_t begin, std::int64_t end) {
        std::vector<T> memory(static_cast<std::size_t>(3 * g.dim * lanes));
        const auto at = [](const T* x, std::int64_t offset) { return x != nullptr ? x + offset : nullptr; };
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t head = task / pieces;
          const std::int64_t to_query = g.head_offset(g.queries, head), to_key = g.head_offset(g.keys, head);
          attend_tangent(g,
                         {in.q + to_query, in.k + to_key, in.v + to_key, at(in.dq, to_query), at(in.dk, to_key),
                          at(in.dv, to_key), in.y + to_query, in.log_sum + head * g.queries},
                         task % pieces * lanes, dy + to_query, memory.data());
        }
      });
}

}  // namespace hypersd::ops::backend
