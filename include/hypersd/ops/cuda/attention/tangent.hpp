// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/attention/tile.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>

/// \file
/// Tangent of attention in one sweep over the scores, which are recomputed from the saved row sums.

namespace hypersd::ops::launch {

/// Tangent of the result for a tile of queries of a head, `width` columns of it in each thread block.
template <class T>
struct AttentionTangent {
  using Tile = AttentionTile<T>;
  using Shared = typename Tile::Shared;
  static constexpr int threads = Tile::threads, tile = Tile::tile, line = tile + 1, width = 64;
  AttentionGeometry g;
  AttentionTangentInputs<T> in;
  T* dy;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionBlock at = Tile::block_of(g, g.queries, width, i);
    const T scale = T(1) / math::sqrt(static_cast<T>(g.dim));
    const auto queries = head_rows(g, in.q, g.queries, at.head, scale);
    const auto keys = head_rows(g, in.k, g.keys, at.head), values = head_rows(g, in.v, g.keys, at.head);
    const std::int64_t offset = g.head_offset(g.queries, at.head);
    typename Block::template Private<typename Tile::Scores> p, ds, other;
    typename Block::template Private<typename Tile::template Accumulators<width>> out;
    block.each([&](int t) {
      for (T& x : out[t].v) x = T(0);
      if (t < tile) shared.total[t] = T(0);
    });
    const std::int64_t key_end = visible_keys(g, at.first + tile);
    for (std::int64_t key = 0; key < key_end; key += tile) {
      Tile::score(block, shared, queries, at.first, keys, key, p);
      block.each([&](int t) {
        Tile::for_scores(t, [&]<int n>(int r, int c) {
          const std::int64_t query = at.first + r;
          const bool visible = query < g.queries && key + c < g.keys && (!g.causal || key + c <= query);
          p[t].v[n] = visible ? math::exp(p[t].v[n] - in.log_sum[at.head * g.queries + query]) : T(0);
          ds[t].v[n] = T(0);
        });
      });
      if (in.dv != nullptr) {
        set_weights(block, shared, [&]<int n>(int t) { return p[t].v[n]; });
        Tile::template add_weighted<width>(block, shared, head_rows(g, in.dv, g.keys, at.head), key, at.column, out);
      }
      if (in.dq != nullptr)
        Tile::score(block, shared, head_rows(g, in.dq, g.queries, at.head, scale), at.first, keys, key, ds);
      if (in.dk != nullptr) {
        Tile::score(block, shared, queries, at.first, head_rows(g, in.dk, g.keys, at.head), key, other);
        block.each([&](int t) { unroll<Tile::micro * Tile::micro>([&]<int n>() { ds[t].v[n] += other[t].v[n]; }); });
      }
      set_weights(block, shared, [&]<int n>(int t) { return p[t].v[n] * ds[t].v[n]; });
      add_row_sums(block, shared);
      Tile::template add_weighted<width>(block, shared, values, key, at.column, out);
    }
    block.each([&](int t) {
      Tile::template for_accumulators<width>(t, at.column, g.dim, out[t], [&](int r, std::int64_t c, T sum) {
        if (at.first + r >= g.queries) return;
        const std::int64_t n = offset + (at.first + r) * g.channels() + c;
        dy[n] = sum - shared.total[r] * in.y[n];
      });
    });
  }

 private:
  template <class Block, class F>
  HYPERSD_HD static void set_weights(Block& block, Shared& shared, F&& weight) {
    block.each([&](int t) {
      Tile::for_scores(t,
                       [&]<int n>(int r, int c) { shared.weights[r * line + c] = weight.template operator()<n>(t); });
    });
  }
  /// total += the sum of each row of weights, in a fixed order.
  template <class Block>
  HYPERSD_HD static void add_row_sums(Block& block, Shared& shared) {
    constexpr int per_row = Tile::per_row, span = Tile::span;
    block.each([&](int t) {
      const T* x = shared.weights + t / per_row * line + t % per_row * span;
      T sum = 0;
      for (int j = 0; j < span; ++j) sum += x[j];
      shared.sum[t] = sum;
    });
    block.each([&](int t) {
      if (t >= tile) return;
      for (int j = 0; j < per_row; ++j) shared.total[t] += shared.sum[t * per_row + j];
    });
  }
};

}  // namespace hypersd::ops::launch
