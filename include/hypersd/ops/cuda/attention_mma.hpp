// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/mma_rows.hpp>

/// \file
/// Attention of 16-bit tensors on tensor cores, by tiles with a running softmax (Dao, 2023, "FlashAttention-2"): a warp
/// keeps 16 queries, their scores and their part of the result in registers; keys and values come through shared
/// memory, a tile while the one before it is multiplied. Scores and sums are float, weights are rounded to 16 bits
/// before they meet the values.

namespace hypersd::ops::launch {

/// Queries of one tile of one head that is at most `width` wide, a multiple of 8 as the head's own width.
template <Narrow T, int width>
struct AttentionMma {
  using Rows = MmaRows<T, width>;
  using Tile = AttentionTile<float>;
  static constexpr int threads = Rows::threads, resident = Rows::resident, tile = Rows::tile, scores = tile / 8 * 4;
  struct Stage {
    typename Rows::Lines keys, values;
  };
  struct Shared {
    Stage stages[2];
  };
  struct Scores {
    float v[scores];
  };
  struct Softmax {
    float top[2], change[2], total[2];  ///< of the two rows that a lane has a part of
  };

  AttentionGeometry g;
  const T *q, *k, *v;
  T* y;
  float* log_sum;

  /// What the kernel reads and writes 16 bytes at a time has to lie so.
  [[nodiscard]] static bool fits(const AttentionGeometry& g, const T* q, const T* k, const T* v, const T* y) {
    return mma_fits(g, width, q, k, v, y);
  }
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionPlace at = Tile::place(g, g.queries, width, i);
    const std::int64_t to_query = Tile::offset(g, g.queries, at.head), to_key = Tile::offset(g, g.keys, at.head);
    const HeadRows<T> queries{q + to_query, g.channels(), g.queries, g.dim};
    const HeadRows<T> keys{k + to_key, g.channels(), g.keys, g.dim}, values{v + to_key, g.channels(), g.keys, g.dim};
    typename Block::template Private<typename Rows::Left> left;
    typename Block::template Private<Scores> s;
    typename Block::template Private<typename Rows::Sums> out;
    typename Block::template Private<Softmax> rows;
    typename Block::template Private<typename Rows::Operands> with;
    const auto fetch = [&](std::int64_t key, Stage& to) {
      block.copy_async([&](int t, auto&& copy) {
        Rows::copy(t, copy, keys, key, to.keys);
        Rows::copy(t, copy, values, key, to.values);
      });
    };
    fetch(0, shared.stages[0]);
    block.alone([&](int t) {
      Rows::load(t, queries, at.first, left[t]);
      for (float& x : out[t].v) x = 0.0F;
      rows[t] = {{lowest_score, lowest_score}, {0.0F, 0.0F}, {0.0F, 0.0F}};
    });
    const float scale = log2_e / math::sqrt(static_cast<float>(g.dim));
    const std::int64_t seen = g.causal && at.first + Rows::rows < g.keys ? at.first + Rows::rows : g.keys;
    for (std::int64_t key = 0; key < seen; key += tile) {
      const Stage& now = shared.stages[key / tile % 2];
      block.template wait_copies<0>();  // for this tile, and until nobody reads the one before it any more
      if (key + tile < seen) fetch(key + tile, shared.stages[(key / tile + 1) % 2]);
      unroll<tile / 16>([&]<int j>() {
        Rows::score(
            block, [&](int t) { return left[t].v; }, now.keys.v + 16 * j * Rows::line,
            [&](int t) { return s[t].v + 8 * j; }, with);
      });
      weigh(block, at, key, scale, s, rows);
      block.alone([&](int t) { unroll<width / 8 * 4>([&]<int c>() { out[t].v[c] *= rows[t].change[c % 4 / 2]; }); });
      unroll<tile / 16>([&]<int e>() {
        Rows::add(
            block, [&](int t) { return s[t].v + 8 * e; }, now.values.v + 16 * e * Rows::line, out, with);
      });
    }
    unroll<2>([&]<int h>() {
      block.quad([&](int t) -> float& { return rows[t].total[h]; }, [](float a, float b) { return a + b; });
    });
    // With a barrier: the block's next tile of queries may bring its first keys only when all have read these.
    block.each([&](int t) {
      Rows::store(t, y + to_query, queries, at.first, out[t], {1.0F / rows[t].total[0], 1.0F / rows[t].total[1]});
      unroll<2>([&]<int h>() {
        const std::int64_t r = at.first + Rows::row(t, h);
        if (r < g.queries && t % 4 == 0)
          log_sum[at.head * g.queries + r] = rows[t].top[h] * scale * 0.693147181F + math::log(rows[t].total[h]);
      });
    });
  }

 private:
  /// Scores become weights relative to the largest score of their row so far; `change` is the factor of all before.
  template <class Block, class S, class R>
  HYPERSD_HD void weigh(Block& block, const AttentionPlace& at, std::int64_t key, float scale, S& s, R& rows) const {
    typename Block::template Private<Softmax> now;
    if (key + tile > g.keys || (g.causal && key + tile > at.first))
      block.alone([&](int t) { Rows::template hide<scores>(t, g, at.first, key, s[t].v); });
    block.alone([&](int t) {
      unroll<2>([&]<int h>() { now[t].top[h] = rows[t].top[h]; });
      unroll<scores>([&]<int n>() { now[t].top[n % 4 / 2] = __builtin_fmaxf(now[t].top[n % 4 / 2], s[t].v[n]); });
    });
    unroll<2>([&]<int h>() {
      block.quad([&](int t) -> float& { return now[t].top[h]; },
                 [](float a, float b) { return __builtin_fmaxf(a, b); });
    });
    block.alone([&](int t) {
      unroll<2>([&]<int h>() {
        const float change = exp2_below_one((rows[t].top[h] - now[t].top[h]) * scale);
        rows[t].top[h] = now[t].top[h];
        rows[t].change[h] = change;
        rows[t].total[h] *= change;
      });
      unroll<scores>([&]<int n>() {
        constexpr int h = n % 4 / 2;
        s[t].v[n] = exp2_below_one(math::fma(s[t].v[n], scale, -rows[t].top[h] * scale));
        rows[t].total[h] += s[t].v[n];
      });
    });
  }
};

}  // namespace hypersd::ops::launch
