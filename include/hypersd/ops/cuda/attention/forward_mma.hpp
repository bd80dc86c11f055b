// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/attention/mma_tile.hpp>

/// \file
/// Attention of 16-bit tensors on tensor cores, by tiles with a running softmax (Dao, 2023, "FlashAttention-2"). A warp
/// keeps 16 queries, their scores and their part of the result in registers. Keys and values are copied to shared
/// memory with double buffering. Scores and sums are float; weights are rounded to 16 bits for the matmul with the
/// values.

namespace hypersd::ops::launch {

/// y of a tile of queries of a head, and the logarithms of the sums of exponentials. The head size is at most `width`;
/// both are multiples of 8.
template <Narrow T, int width>
struct AttentionForwardMma {
  using Mma = MmaTile<T, width>;
  using Tile = AttentionTile<float>;
  static constexpr int threads = Mma::threads, resident = Mma::resident, tile = Mma::tile, scores = tile / 8 * 4;
  struct Stage {
    typename Mma::SharedRows keys, values;
  };
  struct Shared {
    Stage stages[2];
  };
  struct Scores {
    float v[scores];
  };
  struct Softmax {
    float top[2], change[2], total[2];  ///< of the two rows of a lane
  };

  AttentionGeometry g;
  const T *q, *k, *v;
  T* y;
  float* log_sum;

  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionBlock at = Tile::block_of(g, g.queries, width, i);
    const auto queries = head_rows(g, q, g.queries, at.head);
    const auto keys = head_rows(g, k, g.keys, at.head), values = head_rows(g, v, g.keys, at.head);
    typename Block::template Private<typename Mma::FragmentA> left;
    typename Block::template Private<Scores> s;
    typename Block::template Private<typename Mma::Accumulators> out;
    typename Block::template Private<Softmax> rows;
    typename Block::template Private<typename Mma::Fragments> fragments;
    const auto prefetch = [&](std::int64_t key, Stage& to) {
      block.copy_async([&](int t, auto&& copy) {
        Mma::copy(t, copy, keys, key, to.keys);
        Mma::copy(t, copy, values, key, to.values);
      });
    };
    prefetch(0, shared.stages[0]);
    block.each_unsynchronized([&](int t) {
      Mma::load(t, queries, at.first, left[t]);
      for (float& x : out[t].v) x = 0.0F;
      rows[t] = {{lowest_score, lowest_score}, {0.0F, 0.0F}, {0.0F, 0.0F}};
    });
    const float scale = log2_e / math::sqrt(static_cast<float>(g.dim));
    const std::int64_t key_end = visible_keys(g, at.first + Mma::rows);
    for (std::int64_t key = 0; key < key_end; key += tile) {
      const Stage& now = shared.stages[key / tile % 2];
      block.template wait_copies<0>();  // for this tile; and all threads have finished with the previous one
      if (key + tile < key_end) prefetch(key + tile, shared.stages[(key / tile + 1) % 2]);
      unroll<tile / 16>([&]<int j>() {
        Mma::score(
            block, [&](int t) { return left[t].v; }, now.keys.v + 16 * j * Mma::pitch,
            [&](int t) { return s[t].v + 8 * j; }, fragments);
      });
      weigh(block, at, key, scale, s, rows);
      block.each_unsynchronized(
          [&](int t) { unroll<width / 8 * 4>([&]<int c>() { out[t].v[c] *= rows[t].change[c % 4 / 2]; }); });
      unroll<tile / 16>([&]<int e>() {
        Mma::add(
            block, [&](int t) { return s[t].v + 8 * e; }, now.values.v + 16 * e * Mma::pitch, out, fragments);
      });
    }
    unroll<2>([&]<int h>() {
      block.quad_reduce([&](int t) -> float& { return rows[t].total[h]; }, [](float a, float b) { return a + b; });
    });
    // With a barrier: the next iteration of the thread block copies keys to shared memory that other threads still
    // read.
    block.each([&](int t) {
      Mma::store(t, y + g.head_offset(g.queries, at.head), queries, at.first, out[t],
                 {1.0F / rows[t].total[0], 1.0F / rows[t].total[1]});
      unroll<2>([&]<int h>() {
        const std::int64_t r = at.first + Mma::row(t, h);
        if (r < g.queries && t % 4 == 0)
          log_sum[at.head * g.queries + r] = rows[t].top[h] * scale * 0.693147181F + math::log(rows[t].total[h]);
      });
    });
  }

 private:
  /// The scores become weights relative to the largest score of their row so far; earlier sums are rescaled by
  /// `change`.
  template <class Block, class S, class R>
  HYPERSD_HD void weigh(Block& block, const AttentionBlock& at, std::int64_t key, float scale, S& s, R& rows) const {
    typename Block::template Private<Softmax> now;
    if (key + tile > g.keys || (g.causal && key + tile > at.first))
      block.each_unsynchronized([&](int t) { Mma::template mask<scores>(t, g, at.first, key, s[t].v); });
    block.each_unsynchronized([&](int t) {
      unroll<2>([&]<int h>() { now[t].top[h] = rows[t].top[h]; });
      unroll<scores>([&]<int n>() { now[t].top[n % 4 / 2] = __builtin_fmaxf(now[t].top[n % 4 / 2], s[t].v[n]); });
    });
    unroll<2>([&]<int h>() {
      block.quad_reduce([&](int t) -> float& { return now[t].top[h]; },
                        [](float a, float b) { return __builtin_fmaxf(a, b); });
    });
    block.each_unsynchronized([&](int t) {
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
