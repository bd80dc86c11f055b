// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/lanes.hpp>
#include <hypersd/ops/geometry.hpp>
#include <vector>

namespace hypersd::ops::backend {

/// Sixteen queries (or keys) fill the lanes of the vector registers. For any head size, dot products, maxima and sums
/// are computed within lanes, without reductions across them.
inline constexpr int attention_lanes = 16;
/// Rows of the other side in a step; their scores stay in the L1 cache.
inline constexpr std::int64_t attention_block = 64;
/// Replaces minus infinity in a running maximum; differences of it stay finite.
inline constexpr double attention_lowest = -1e30;

/// Rows [0, valid) of a strided matrix as columns of t [dim, lanes], times `scale`; missing lanes are 0.
template <class T>
void load_lanes(const T* rows, std::int64_t stride, std::int64_t valid, std::int64_t dim, T scale, T* t) {
  constexpr int lanes = attention_lanes;
  if (valid < lanes) std::fill_n(t, dim * lanes, T(0));
  for (std::int64_t l = 0; l < valid; ++l)
    for (std::int64_t d = 0; d < dim; ++d) t[d * lanes + l] = rows[l * stride + d] * scale;
}

/// The inverse of `load_lanes`, with a factor for each lane.
template <class T>
void store_lanes(const T* t, const T* scale, std::int64_t valid, std::int64_t dim, T* rows, std::int64_t stride) {
  for (std::int64_t l = 0; l < valid; ++l)
    for (std::int64_t d = 0; d < dim; ++d) rows[l * stride + d] = t[d * attention_lanes + l] * scale[l];
}

template <int tile, class T>
void score_tile(const T* t, const T* rows, std::int64_t stride, std::int64_t dim, T* s) {
  using V = Lanes<T>;
  V acc[tile];
  unroll<tile>([&](auto j) { acc[j] = V::splat(T(0)); });
  for (std::int64_t d = 0; d < dim; ++d) {
    const V x = V::load(t + d * V::count);
    unroll<tile>([&](auto j) { acc[j].add_product(x, rows[j * stride + d]); });
  }
  unroll<tile>([&](auto j) { acc[j].store(s + j * V::count); });
}

/// s[j, lane] = sum over d of t[d, lane] rows[j, d].
template <class T>
void score(const T* t, const T* rows, std::int64_t stride, std::int64_t count, std::int64_t dim, T* s) {
  std::int64_t j = 0;
  for (; j + 8 <= count; j += 8) score_tile<8>(t, rows + j * stride, stride, dim, s + j * attention_lanes);
  for (; j + 4 <= count; j += 4) score_tile<4>(t, rows + j * stride, stride, dim, s + j * attention_lanes);
  for (; j < count; ++j) score_tile<1>(t, rows + j * stride, stride, dim, s + j * attention_lanes);
}

template <int tile, class T>
void gather_tile(const T* w, const T* rows, std::int64_t stride, std::int64_t count, T* t) {
  using V = Lanes<T>;
  V acc[tile];
  unroll<tile>([&](auto d) { acc[d] = V::load(t + d * V::count); });
  for (std::int64_t j = 0; j < count; ++j) {
    const V x = V::load(w + j * V::count);
    unroll<tile>([&](auto d) { acc[d].add_product(x, rows[j * stride + d]); });
  }
  unroll<tile>([&](auto d) { acc[d].store(t + d * V::count); });
}

/// t[d, lane] += sum over j of w[j, lane] rows[j, d].
template <class T>
void add_weighted(const T* w, const T* rows, std::int64_t stride, std::int64_t count, std::int64_t dim, T* t) {
  std::int64_t d = 0;
  for (; d + 8 <= dim; d += 8) gather_tile<8>(w, rows + d, stride, count, t + d * attention_lanes);
  for (; d + 4 <= dim; d += 4) gather_tile<4>(w, rows + d, stride, count, t + d * attention_lanes);
  for (; d < dim; ++d) gather_tile<1>(w, rows + d, stride, count, t + d * attention_lanes);
}

/// A step of the running softmax over scores s [count, lanes], which become weights relative to the new maximum; the
/// sums and results so far, t [dim, lanes], are rescaled to it.
template <class T>
void softmax_step(T* s, std::int64_t count, T* maximum, T* total, T* t, std::int64_t dim) {
  using V = Lanes<T>;
  const V before = V::load(maximum);
  V top = before, sum = V::splat(T(0));
  for (std::int64_t j = 0; j < count; ++j) top = max(top, V::load(s + j * V::count));
  for (std::int64_t j = 0; j < count; ++j) (V::load(s + j * V::count) - top).store(s + j * V::count);
  // By sixteens: a loop of constant length is vectorized at -O2 too.
  for (std::int64_t j = 0; j < count; ++j)
    for (int l = 0; l < V::count; ++l) s[j * V::count + l] = math::exp(s[j * V::count + l]);
  for (std::int64_t j = 0; j < count; ++j) sum = sum + V::load(s + j * V::count);
  T change[V::count];
  (before - top).store(change);
  for (int l = 0; l < V::count; ++l) change[l] = math::exp(change[l]);
  const V rescale = V::load(change);
  (V::load(total) * rescale + sum).store(total);
  top.store(maximum);
  for (std::int64_t d = 0; d < dim; ++d) (V::load(t + d * V::count) * rescale).store(t + d * V::count);
}

/// Masks score (j, lane) unless visible(first + j, lane).
template <class T, class Visible>
void mask(T* s, std::int64_t first, std::int64_t count, Visible&& visible) {
  for (std::int64_t j = 0; j < count; ++j)
    for (int l = 0; l < attention_lanes; ++l)
      if (!visible(first + j, l)) s[j * attention_lanes + l] = static_cast<T>(attention_lowest);
}

/// Queries [first, last) of one head; all pointers are at that head's columns of its sample. `memory` holds
/// 2 (dim + 1) lanes for every sixteen queries.
template <class T>
void attend(const AttentionGeometry& g, std::int64_t first, std::int64_t last, const T* q, const T* k, const T* v, T* y,
            T* log_sum, T* memory) {
  constexpr int lanes = attention_lanes;
  const std::int64_t stride = g.channels(), slots = (last - first + lanes - 1) / lanes, size = g.dim * lanes;
  const T scale = T(1) / math::sqrt(static_cast<T>(g.dim));
  T* queries = memory;
  T* results = queries + slots * size;
  T* total = results + slots * size;
  T* maximum = total + slots * lanes;
  std::fill_n(results, slots * (size + lanes), T(0));
  std::fill_n(maximum, slots * lanes, static_cast<T>(attention_lowest));
  for (std::int64_t i = 0; i < slots; ++i) {
    const std::int64_t at = first + i * lanes;
    load_lanes(q + at * stride, stride, std::min<std::int64_t>(lanes, last - at), g.dim, scale, queries + i * size);
  }
  alignas(64) T s[attention_block * lanes];
  const std::int64_t keys = g.causal ? std::min(g.keys, last) : g.keys;
  for (std::int64_t key = 0; key < keys; key += attention_block) {
    const std::int64_t count = std::min(attention_block, keys - key);
    for (std::int64_t i = 0; i < slots; ++i) {
      const std::int64_t at = first + i * lanes;
      if (g.causal && key >= at + lanes) continue;
      score(queries + i * size, k + key * stride, stride, count, g.dim, s);
      if (g.causal) mask(s, key, count, [=](std::int64_t j, int l) { return j <= at + l; });
      softmax_step(s, count, maximum + i * lanes, total + i * lanes, results + i * size, g.dim);
      add_weighted(s, v + key * stride, stride, count, g.dim, results + i * size);
    }
  }
  for (std::int64_t i = 0; i < slots; ++i) {
    const std::int64_t at = first + i * lanes, valid = std::min<std::int64_t>(lanes, last - at);
    T inverse[lanes];
    for (int l = 0; l < lanes; ++l) inverse[l] = T(1) / total[i * lanes + l];
    store_lanes(results + i * size, inverse, valid, g.dim, y + at * stride, stride);
    for (std::int64_t l = 0; l < valid; ++l) log_sum[at + l] = maximum[i * lanes + l] + math::log(total[i * lanes + l]);
  }
}

/// Attention to a single key: y = v.
template <class T>
void attend_single(const AttentionGeometry& g, const T* v, T* y, T* log_sum) {
  const std::int64_t channels = g.channels();
  parallel_for(g.batch, 1, [&](std::int64_t b, std::int64_t) {
    for (std::int64_t i = 0; i < g.queries; ++i)
      std::copy_n(v + b * channels, channels, y + (b * g.queries + i) * channels);
    std::fill_n(log_sum + b * g.heads * g.queries, g.heads * g.queries, T(0));
  });
}

template <class T>
void attention(const Cpu&, const AttentionGeometry& g, const T* q, const T* k, const T* v, T* y, T* log_sum) {
  if (g.keys == 1) return attend_single(g, v, y, log_sum);
  constexpr std::int64_t rows = 4 * attention_lanes;  // queries for which keys and values are read from cache once
  const std::int64_t pieces = (g.queries + rows - 1) / rows;
  const std::int64_t work = std::min(rows, g.queries) * g.keys * g.dim;
  parallel_for(g.batch * g.heads * pieces, std::max<std::int64_t>(1, 65536 / work),
               [&](std::int64_t begin, std::int64_t end) {
                 std::vector<T> memory(static_cast<std::size_t>(2 * rows * (g.dim + 1)));
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t piece = task % pieces, head = task / pieces;
                   const std::int64_t to_query = g.head_offset(g.queries, head), to_key = g.head_offset(g.keys, head);
                   attend(g, piece * rows, std::min(g.queries, (piece + 1) * rows), q + to_query, k + to_key,
                          v + to_key, y + to_query, log_sum + head * g.queries, memory.data());
                 }
               });
}

}  // namespace hypersd::ops::backend
