// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/attention.hpp>

/// \file
/// Gradient of attention in two sweeps over the scores, which are recomputed
/// from the saved row sums: with queries in the lanes for the gradient of the
/// queries, with keys in the lanes for those of keys and values. Each task
/// writes its own rows only, so both sweeps are parallel and the order of every
/// sum is fixed.

namespace hypersd::ops::backend {

/// Pointers to one head of one sample.
template <class T>
struct AttentionHead {
  const T *gy, *q, *k, *v, *log_sum, *delta;
  T *gq, *gk, *gv;
};

/// Gradient of queries [first, first + lanes).
template <class T>
void attention_query_gradient(const AttentionGeometry& g, const AttentionHead<T>& h, std::int64_t first, T* memory) {
  constexpr int lanes = attention_lanes;
  const AttentionKernel<T> kernel = attention_kernel<T>();
  const std::int64_t stride = g.channels(), size = g.dim * lanes;
  const std::int64_t valid = std::min<std::int64_t>(lanes, g.queries - first);
  const T scale = T(1) / math::sqrt(static_cast<T>(g.dim));
  T* queries = memory;
  T* gradients = memory + size;
  T* results = memory + 2 * size;
  load_lanes(h.q + first * stride, stride, valid, g.dim, scale, queries);
  load_lanes(h.gy + first * stride, stride, valid, g.dim, T(1), gradients);
  std::fill_n(results, size, T(0));
  T log_sum[lanes] = {}, delta[lanes] = {}, factor[lanes];
  std::copy_n(h.log_sum + first, valid, log_sum);
  std::copy_n(h.delta + first, valid, delta);
  std::fill_n(factor, lanes, scale);
  using V = Lanes<T>;
  const V log_sums = V::load(log_sum), deltas = V::load(delta);
  alignas(64) T s[attention_block * lanes], p[attention_block * lanes];
  const std::int64_t keys = g.causal ? std::min(g.keys, first + valid) : g.keys;
  for (std::int64_t key = 0; key < keys; key += attention_block) {
    const std::int64_t count = std::min(attention_block, keys - key);
    kernel.score(queries, h.k + key * stride, stride, count, g.dim, s);
    if (g.causal) mask(s, key, count, [=](std::int64_t j, int l) { return j <= first + l; });
    kernel.score(gradients, h.v + key * stride, stride, count, g.dim, p);
    for (std::int64_t j = 0; j < count; ++j) (V::load(s + j * lanes) - log_sums).store(s + j * lanes);
    kernel.exp(s, count);
    for (std::int64_t j = 0; j < count; ++j)
      (V::load(s + j * lanes) * (V::load(p + j * lanes) - deltas)).store(s + j * lanes);
    kernel.add_weighted(s, h.k + key * stride, stride, count, g.dim, results);
  }
  store_lanes(results, factor, valid, g.dim, h.gq + first * stride, stride);
}

/// Gradients of keys and values [first, first + lanes).
template <class T>
void attention_key_gradient(const AttentionGeometry& g, const AttentionHead<T>& h, std::int64_t first, T* memory) {
  using V = Lanes<T>;
  constexpr int lanes = attention_lanes;
  const AttentionKernel<T> kernel = attention_kernel<T>();
  const std::int64_t stride = g.channels(), size = g.dim * lanes;
  const std::int64_t valid = std::min<std::int64_t>(lanes, g.keys - first);
  const T scale = T(1) / math::sqrt(static_cast<T>(g.dim));
  T* keys = memory;
  T* values = memory + size;
  T* key_results = memory + 2 * size;
  T* value_results = memory + 3 * size;
  load_lanes(h.k + first * stride, stride, valid, g.dim, scale, keys);
  load_lanes(h.v + first * stride, stride, valid, g.dim, T(1), values);
  std::fill_n(key_results, 2 * size, T(0));
  T factor[lanes], one[lanes];
  std::fill_n(factor, lanes, scale);
  std::fill_n(one, lanes, T(1));
  alignas(64) T s[attention_block * lanes], p[attention_block * lanes];
  for (std::int64_t query = g.causal ? first / attention_block * attention_block : 0; query < g.queries;
       query += attention_block) {
    const std::int64_t count = std::min(attention_block, g.queries - query);
    const T* log_sum = h.log_sum + query;
    const T* delta = h.delta + query;
    kernel.score(keys, h.q + query * stride, stride, count, g.dim, s);
    if (g.causal) mask(s, query, count, [=](std::int64_t i, int l) { return i >= first + l; });
    kernel.score(values, h.gy + query * stride, stride, count, g.dim, p);
    for (std::int64_t i = 0; i < count; ++i) (V::load(s + i * lanes) - V::splat(log_sum[i])).store(s + i * lanes);
    kernel.exp(s, count);
    for (std::int64_t i = 0; i < count; ++i)
      (V::load(s + i * lanes) * (V::load(p + i * lanes) - V::splat(delta[i]))).store(p + i * lanes);
    kernel.add_weighted(p, h.q + query * stride, stride, count, g.dim, key_results);
    kernel.add_weighted(s, h.gy + query * stride, stride, count, g.dim, value_results);
  }
  store_lanes(key_results, factor, valid, g.dim, h.gk + first * stride, stride);
  store_lanes(value_results, one, valid, g.dim, h.gv + first * stride, stride);
}

/// With one key the weights are constant: only the value has a gradient, the
/// sum of gy over the queries.
template <class T>
void attention_single_gradient(const AttentionGeometry& g, const T* gy, T* gq, T* gk, T* gv) {
  const std::int64_t channels = g.channels();
  parallel_for(g.batch, 1, [&](std::int64_t b, std::int64_t) {
    const T* from = gy + b * g.queries * channels;
    T* to = gv + b * channels;
    std::fill_n(gq + b * g.queries * channels, g.queries * channels, T(0));
    std::fill_n(gk + b * channels, channels, T(0));
    std::fill_n(to, channels, T(0));
    for (std::int64_t i = 0; i < g.queries; ++i)
      for (std::int64_t c = 0; c < channels; ++c) to[c] += from[i * channels + c];
  });
}

template <class T>
void attention_gradient(const Cpu&, const AttentionGeometry& g, const T* gy, const T* q, const T* k, const T* v,
                        const T* y, const T* log_sum, T* gq, T* gk, T* gv) {
  if (g.keys == 1) return attention_single_gradient(g, gy, gq, gk, gv);
  constexpr int lanes = attention_lanes;
  const std::int64_t channels = g.channels();
  // delta = sum over d of gy y, which the softmax subtracts from the gradient
  // of every score.
  const Tensor<T, Cpu> delta(Shape{g.batch, g.heads, g.queries});
  parallel_for(g.batch * g.queries, std::max<std::int64_t>(1, 16384 / channels),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r) {
                   for (std::int64_t h = 0; h < g.heads; ++h) {
                     T sum = 0;
                     const std::int64_t at = r * channels + h * g.dim;
                     for (std::int64_t d = 0; d < g.dim; ++d) sum += gy[at + d] * y[at + d];
                     delta[(r / g.queries * g.heads + h) * g.queries + r % g.queries] = sum;
                   }
                 }
               });
  const std::int64_t query_pieces = (g.queries + lanes - 1) / lanes, key_pieces = (g.keys + lanes - 1) / lanes;
  const std::int64_t pieces = query_pieces + key_pieces;
  // Pieces of one head follow each other, so that its rows stay in cache.
  parallel_for(g.batch * g.heads * pieces, std::max<std::int64_t>(1, 65536 / (lanes * (g.keys + g.queries) * g.dim)),
               [&](std::int64_t begin, std::int64_t end) {
                 std::vector<T> memory(static_cast<std::size_t>(4 * g.dim * lanes));
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t piece = task % pieces, head = task / pieces;
                   const std::int64_t to_query = g.head_offset(g.queries, head), to_key = g.head_offset(g.keys, head);
                   const std::int64_t to_row = head * g.queries;
                   const AttentionHead<T> data{gy + to_query, q + to_query,     k + to_key,
                                               v + to_key,    log_sum + to_row, delta.data() + to_row,
                                               gq + to_query, gk + to_key,      gv + to_key};
                   if (piece < query_pieces)
                     attention_query_gradient(g, data, piece * lanes, memory.data());
                   else
                     attention_key_gradient(g, data, (piece - query_pieces) * lanes, memory.data());
                 }
               });
}

}  // namespace hypersd::ops::backend
