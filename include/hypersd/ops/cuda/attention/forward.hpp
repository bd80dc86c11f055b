// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/attention/tile.hpp>

/// \file
/// Attention by tiles with a running softmax (Dao et al., 2022, "FlashAttention"): a thread block for each tile of
/// queries of a head. Heads of any size: the scores are computed in pieces of the head, and a result wider than the
/// registers of a thread block is divided among thread blocks, each of which computes the scores.

namespace hypersd::ops::launch {

/// y of a tile of queries of a head, and the logarithms of the sums of exponentials.
template <class T, int width>
struct AttentionForward {
  using A = Accumulator<T>;
  using Tile = AttentionTile<A>;
  using Shared = typename Tile::Shared;
  static constexpr int threads = Tile::threads, tile = Tile::tile, line = tile + 1;
  AttentionGeometry g;
  const T *q, *k, *v;
  T* y;
  A* log_sum;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionBlock at = Tile::block_of(g, g.queries, width, i);
    const auto queries = head_rows(g, q, g.queries, at.head, A(1) / math::sqrt(static_cast<A>(g.dim)));
    const auto keys = head_rows(g, k, g.keys, at.head), values = head_rows(g, v, g.keys, at.head);
    T* const to = y + g.head_offset(g.queries, at.head);
    typename Block::template Private<typename Tile::Scores> s;
    typename Block::template Private<typename Tile::template Accumulators<width>> out;
    block.each([&](int t) {
      for (A& x : out[t].v) x = A(0);
      if (t >= tile) return;
      shared.maximum[t] = static_cast<A>(-1e30);  // stands for minus infinity; differences of it stay finite
      shared.total[t] = A(0);
    });
    const std::int64_t key_end = visible_keys(g, at.first + tile);
    for (std::int64_t key = 0; key < key_end; key += tile) {
      Tile::score(block, shared, queries, at.first, keys, key, s);
      block.each([&](int t) {
        Tile::for_scores(t, [&]<int n>(int r, int c) {
          const bool visible = key + c < g.keys && (!g.causal || key + c <= at.first + r);
          shared.weights[r * line + c] = visible ? s[t].v[n] : static_cast<A>(-1e30);
        });
      });
      softmax_step(block, shared);
      block.each([&](int t) {
        unroll<width / Tile::columns * Tile::micro * Tile::across>([&]<int n>() {
          out[t].v[n] *= shared.change[Tile::row(t, n % (Tile::micro * Tile::across) / Tile::across)];
        });
      });
      Tile::template add_weighted<width>(block, shared, values, key, at.column, out);
    }
    block.each([&](int t) {
      Tile::template for_accumulators<width>(t, at.column, g.dim, out[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.queries) to[(at.first + r) * g.channels() + c] = converted<T>(sum / shared.total[r]);
      });
      if (t < tile && at.first + t < g.queries && at.column == 0)
        log_sum[at.head * g.queries + at.first + t] = shared.maximum[t] + math::log(shared.total[t]);
    });
  }

 private:
  /// Scores become weights relative to the new maximum of their row; `change` is the factor of all before.
  template <class Block>
  HYPERSD_HD static void softmax_step(Block& block, Shared& shared) {
    constexpr int per_row = Tile::per_row, span = Tile::span;
    const auto top_of = [&](int r) {
      A top = shared.maximum[r];
      for (int p = 0; p < per_row; ++p) top = shared.best[r * per_row + p] > top ? shared.best[r * per_row + p] : top;
      return top;
    };
    block.each([&](int t) {
      const A* x = shared.weights + t / per_row * line + t % per_row * span;
      A best = x[0];
      for (int j = 1; j < span; ++j) best = x[j] > best ? x[j] : best;
      shared.best[t] = best;
    });
    block.each([&](int t) {
      A* x = shared.weights + t / per_row * line + t % per_row * span;
      const A top = top_of(t / per_row);
      A sum = 0;
      for (int j = 0; j < span; ++j) {
        x[j] = math::exp(x[j] - top);
        sum += x[j];
      }
      shared.sum[t] = sum;
    });
    block.each([&](int t) {
      if (t >= tile) return;
      const A top = top_of(t);
      shared.change[t] = math::exp(shared.maximum[t] - top);
      A total = shared.total[t] * shared.change[t];
      for (int p = 0; p < per_row; ++p) total += shared.sum[t * per_row + p];
      shared.total[t] = total;
      shared.maximum[t] = top;
    });
  }
};

/// Attention to a single key: y = v.
template <class T>
struct AttentionSingleElements {
  AttentionGeometry g;
  const T* v;
  T* y;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.queries * g.channels(); }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [r, c] = divide(i, g.channels());
    y[i] = v[r / g.queries * g.channels() + c];
  }
};

}  // namespace hypersd::ops::launch
