// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/attention_kernel.hpp>
#include <hypersd/ops/cpu/lanes.hpp>
#include <hypersd/ops/cpu/packing.hpp>
#include <hypersd/ops/geometry.hpp>
#include <vector>

namespace hypersd::ops::backend {

/// Rows of the other side in a step; their scores stay in the L1 cache.
inline constexpr std::int64_t attention_block = 96;
/// Replaces minus infinity in a running maximum; differences of it stay finite.
inline constexpr double attention_lowest = -1e30;

/// Rows [0, valid) of a strided matrix as columns of t [dim, lanes], times `scale`; missing lanes repeat the last.
template <class T>
void load_lanes(const T* rows, std::int64_t stride, std::int64_t valid, std::int64_t dim, T scale, T* t) {
  constexpr int lanes = attention_lanes;
  const T* row[lanes];
  for (std::int64_t l = 0; l < lanes; ++l) row[l] = rows + std::min(l, valid - 1) * stride;
  transpose(row, lanes, dim, t, lanes);
  const auto factor = Lanes<T>::splat(scale);
  for (std::int64_t d = 0; d < dim; ++d) (Lanes<T>::load(t + d * lanes) * factor).store(t + d * lanes);
}

/// The inverse of `load_lanes`, with a factor for each lane.
template <class T>
void store_lanes(const T* t, const T* scale, std::int64_t valid, std::int64_t dim, T* rows, std::int64_t stride) {
  constexpr int lanes = attention_lanes, most = 8;
  const auto factor = Lanes<T>::load(scale);
  alignas(64) T scaled[most * lanes];
  const T* row[most];
  for (int i = 0; i < most; ++i) row[i] = scaled + i * lanes;
  const int height = static_cast<int>(std::min<std::int64_t>(most, dim));
  for (std::int64_t first = 0; first < dim; first += height) {
    const std::int64_t d = std::min(first, dim - height);  // the last block overlaps the one before
    for (std::int64_t i = 0; i < height; ++i) (Lanes<T>::load(t + (d + i) * lanes) * factor).store(scaled + i * lanes);
    transpose(row, height, valid, rows + d, stride);
  }
}

/// Masks score (j, lane) unless visible(first + j, lane).
template <class T, class Visible>
void mask(T* s, std::int64_t first, std::int64_t count, Visible&& visible) {
  for (std::int64_t j = 0; j < count; ++j)
    for (int l = 0; l < attention_lanes; ++l)
      if (!visible(first + j, l)) s[j * attention_lanes + l] = static_cast<T>(attention_lowest);
}

/// Queries [first, last) of one head; all pointers are at that head's columns of its sample, rows of keys and values
/// are `key_stride` apart. `memory` holds 2 (dim + 1) lanes for every sixteen queries.
template <class T>
void attend(const AttentionGeometry& g, std::int64_t first, std::int64_t last, const T* q, const T* k, const T* v,
            std::int64_t key_stride, T* y, T* log_sum, T* memory) {
  constexpr int lanes = attention_lanes;
  const AttentionKernel<T> kernel = attention_kernel<T>();
  const std::int64_t stride = g.channels(), slots = (last - first + lanes - 1) / lanes, size = g.dim * lanes;
  const T scale = attention_unit<T> / math::sqrt(static_cast<T>(g.dim));
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
      kernel.score(queries + i * size, k + key * key_stride, key_stride, count, g.dim, s);
      if (g.causal) mask(s, key, count, [=](std::int64_t j, int l) { return j <= at + l; });
      kernel.softmax_step(s, count, maximum + i * lanes, total + i * lanes, results + i * size, g.dim);
      kernel.add_weighted(s, v + key * key_stride, key_stride, count, g.dim, results + i * size);
    }
  }
  for (std::int64_t i = 0; i < slots; ++i) {
    const std::int64_t at = first + i * lanes, valid = std::min<std::int64_t>(lanes, last - at);
    T inverse[lanes];
    for (int l = 0; l < lanes; ++l) inverse[l] = T(1) / total[i * lanes + l];
    store_lanes(results + i * size, inverse, valid, g.dim, y + at * stride, stride);
    for (std::int64_t l = 0; l < valid; ++l)
      log_sum[at + l] = maximum[i * lanes + l] * (T(1) / attention_unit<T>)+math::log(total[i * lanes + l]);
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

/// Rows of all heads [batch, rows, heads, dim] as those of each head [batch, heads, rows, dim].
template <class T>
void split_heads(const AttentionGeometry& g, std::int64_t rows, const T* from, T* to) {
  parallel_for(g.batch * rows, std::max<std::int64_t>(1, 16384 / g.channels()),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r)
                   for (std::int64_t h = 0; h < g.heads; ++h)
                     std::copy_n(from + r * g.channels() + h * g.dim, g.dim,
                                 to + ((r / rows * g.heads + h) * rows + r % rows) * g.dim);
               });
}

template <class T>
void attention(const Cpu&, const AttentionGeometry& g, const T* q, const T* k, const T* v, T* y, T* log_sum) {
  if (g.keys == 1) return attend_single(g, v, y, log_sum);
  constexpr std::int64_t rows = 8 * attention_lanes;  // queries for which keys and values are read from cache once
  const std::int64_t pieces = (g.queries + rows - 1) / rows;
  const std::int64_t work = std::min(rows, g.queries) * g.keys * g.dim;
  // Many queries read rows without gaps faster.
  const bool split = g.heads > 1 && g.queries >= rows;
  const std::int64_t size = split ? g.batch * g.keys * g.channels() : 0;
  const Tensor<T, Cpu> heads(Shape{2 * size});
  if (split) {
    split_heads(g, g.keys, k, heads.data());
    split_heads(g, g.keys, v, heads.data() + size);
  }
  parallel_for(g.batch * g.heads * pieces, std::max<std::int64_t>(1, 65536 / work),
               [&](std::int64_t begin, std::int64_t end) {
                 std::vector<T> memory(static_cast<std::size_t>(2 * rows * (g.dim + 1)));
                 for (std::int64_t task = begin; task < end; ++task) {
                   const std::int64_t piece = task % pieces, head = task / pieces;
                   const std::int64_t to_query = g.head_offset(g.queries, head);
                   const std::int64_t to_key = split ? head * g.keys * g.dim : g.head_offset(g.keys, head);
                   attend(g, piece * rows, std::min(g.queries, (piece + 1) * rows), q + to_query,
                          (split ? heads.data() : k) + to_key, (split ? heads.data() + size : v) + to_key,
                          split ? g.dim : g.channels(), y + to_query, log_sum + head * g.queries, memory.data());
                 }
               });
}

}  // namespace hypersd::ops::backend
