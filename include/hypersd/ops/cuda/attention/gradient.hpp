// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/attention/tile.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>

/// \file
/// Gradient of attention in two sweeps over the scores, which are recomputed from the saved row sums: thread blocks of
/// queries for the gradient of the queries, thread blocks of keys for those of keys and values. Every thread block
/// writes its own rows only.

namespace hypersd::ops::launch {

/// Inputs of both sweeps. `delta` [B, heads, N], like `log_sum`, is the sum of gy y over the columns of a head.
template <class T>
struct AttentionGradientInputs {
  const T *gy, *q, *k, *v;
  const Accumulator<T>*log_sum, *delta;
};

/// `delta`, with vectorized loads of `columns` elements.
template <class T, int columns>
struct AttentionDeltaElements {
  AttentionGeometry g;
  const T *gy, *y;
  Accumulator<T>* delta;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.heads * g.queries; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [head, n] = divide(i, g.queries);
    const std::int64_t at = g.head_offset(g.queries, head) + n * g.channels();
    Accumulator<T> sum = 0, a[columns], b[columns];
    for (std::int64_t d = 0; d < g.dim; d += columns) {
      load_vectorized<columns>(gy + at + d, a);
      load_vectorized<columns>(y + at + d, b);
      for (int k = 0; k < columns; ++k) sum += a[k] * b[k];
    }
    delta[i] = sum;
  }
};

/// Gradient of a tile of queries of a head.
template <class T, int width>
struct AttentionQueryGradient {
  using A = Accumulator<T>;
  using Tile = AttentionTile<A>;
  using Shared = typename Tile::Shared;
  static constexpr int threads = Tile::threads, tile = Tile::tile, line = tile + 1;
  AttentionGeometry g;
  AttentionGradientInputs<T> in;
  T* gq;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionBlock at = Tile::block_of(g, g.queries, width, i);
    const A scale = A(1) / math::sqrt(static_cast<A>(g.dim));
    const auto queries = head_rows(g, in.q, g.queries, at.head, scale);
    const auto gradients = head_rows(g, in.gy, g.queries, at.head);
    const auto keys = head_rows(g, in.k, g.keys, at.head), values = head_rows(g, in.v, g.keys, at.head);
    T* const to = gq + g.head_offset(g.queries, at.head);
    typename Block::template Private<typename Tile::Scores> s, p;
    typename Block::template Private<typename Tile::template Accumulators<width>> out;
    block.each([&](int t) {
      for (A& x : out[t].v) x = A(0);
    });
    const std::int64_t key_end = visible_keys(g, at.first + tile);
    for (std::int64_t key = 0; key < key_end; key += tile) {
      Tile::score(block, shared, queries, at.first, keys, key, s);
      Tile::score(block, shared, gradients, at.first, values, key, p);
      block.each([&](int t) {
        Tile::for_scores(t, [&]<int n>(int r, int c) {
          const std::int64_t query = at.first + r;
          const bool visible = query < g.queries && key + c < g.keys && (!g.causal || key + c <= query);
          A w = 0;
          if (visible) {
            const std::int64_t row = at.head * g.queries + query;
            w = math::exp(s[t].v[n] - in.log_sum[row]) * (p[t].v[n] - in.delta[row]);
          }
          shared.weights[r * line + c] = w;
        });
      });
      Tile::template add_weighted<width>(block, shared, keys, key, at.column, out);
    }
    block.each([&](int t) {
      Tile::template for_accumulators<width>(t, at.column, g.dim, out[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.queries) to[(at.first + r) * g.channels() + c] = converted<T>(sum * scale);
      });
    });
  }
};

/// Gradients of a tile of keys and values of a head.
template <class T, int width>
struct AttentionKeyGradient {
  using A = Accumulator<T>;
  using Tile = AttentionTile<A>;
  using Shared = typename Tile::Shared;
  static constexpr int threads = Tile::threads, tile = Tile::tile, line = tile + 1;
  AttentionGeometry g;
  AttentionGradientInputs<T> in;
  T *gk, *gv;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.keys, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionBlock at = Tile::block_of(g, g.keys, width, i);
    const A scale = A(1) / math::sqrt(static_cast<A>(g.dim));
    const auto keys = head_rows(g, in.k, g.keys, at.head, scale), values = head_rows(g, in.v, g.keys, at.head);
    const auto queries = head_rows(g, in.q, g.queries, at.head), gradients = head_rows(g, in.gy, g.queries, at.head);
    const std::int64_t offset = g.head_offset(g.keys, at.head);
    typename Block::template Private<typename Tile::Scores> s, p;
    typename Block::template Private<typename Tile::template Accumulators<width>> of_keys, of_values;
    block.each([&](int t) {
      for (A& x : of_keys[t].v) x = A(0);
      for (A& x : of_values[t].v) x = A(0);
    });
    for (std::int64_t query = g.causal ? at.first : 0; query < g.queries; query += tile) {
      Tile::score(block, shared, keys, at.first, queries, query, s);
      Tile::score(block, shared, values, at.first, gradients, query, p);
      block.each([&](int t) {
        Tile::for_scores(t, [&]<int n>(int r, int c) {
          const std::int64_t key = at.first + r;
          const bool visible = key < g.keys && query + c < g.queries && (!g.causal || key <= query + c);
          A weight = 0, w = 0;
          if (visible) {
            const std::int64_t row = at.head * g.queries + query + c;
            weight = math::exp(s[t].v[n] - in.log_sum[row]);
            w = weight * (p[t].v[n] - in.delta[row]);
          }
          shared.weights[r * line + c] = weight;
          p[t].v[n] = w;
        });
      });
      Tile::template add_weighted<width>(block, shared, gradients, query, at.column, of_values);
      block.each(
          [&](int t) { Tile::for_scores(t, [&]<int n>(int r, int c) { shared.weights[r * line + c] = p[t].v[n]; }); });
      Tile::template add_weighted<width>(block, shared, queries, query, at.column, of_keys);
    }
    block.each([&](int t) {
      Tile::template for_accumulators<width>(t, at.column, g.dim, of_keys[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.keys) gk[offset + (at.first + r) * g.channels() + c] = converted<T>(sum * scale);
      });
      Tile::template for_accumulators<width>(t, at.column, g.dim, of_values[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.keys) gv[offset + (at.first + r) * g.channels() + c] = converted<T>(sum);
      });
    });
  }
};

}  // namespace hypersd::ops::launch
