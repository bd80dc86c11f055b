// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/mma_rows.hpp>

/// \file
/// Gradient of attention of 16-bit tensors on tensor cores (Dao, 2023, "FlashAttention-2"), in the two sweeps of
/// ops/cuda/attention_gradient.hpp: weights P are recomputed from the saved row sums, 16 x 16 at a time, and with
/// dP = gY V^T and dS = P (dP - delta)
///
///     gQ = dS K / sqrt(d),   gK = dS^T Q / sqrt(d),   gV = P^T gY.
///
/// Scores, dP and sums are float; P and dS are rounded to 16 bits before they meet the next product. The tile after the
/// present one comes into shared memory meanwhile.

namespace hypersd::ops::launch {

/// A block's queries and their gradient.
template <Narrow T, int width>
struct AttentionQueryGradientMma {
  using Rows = MmaRows<T, width>;
  using Tile = AttentionTile<float>;
  static constexpr int threads = Rows::threads, resident = Rows::resident, tile = Rows::tile;
  struct Stage {
    typename Rows::Lines keys, values;
  };
  struct Shared {
    Stage stages[2];
  };
  struct Statistics {
    float log_sum[2], delta[2];  ///< of the two rows that a lane has a part of, the first in powers of two
  };
  AttentionGeometry g;
  AttentionGradientInputs<T> in;
  T* gq;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionPlace at = Tile::place(g, g.queries, width, i);
    const std::int64_t to_query = Tile::offset(g, g.queries, at.head), to_key = Tile::offset(g, g.keys, at.head);
    const HeadRows<T> queries{in.q + to_query, g.channels(), g.queries, g.dim};
    const HeadRows<T> gradients{in.gy + to_query, g.channels(), g.queries, g.dim};
    const HeadRows<T> keys{in.k + to_key, g.channels(), g.keys, g.dim};
    const HeadRows<T> values{in.v + to_key, g.channels(), g.keys, g.dim};
    const float scale = 1.0F / math::sqrt(static_cast<float>(g.dim)), to_power = scale * log2_e;
    typename Block::template Private<typename Rows::Left> q, gy;
    typename Block::template Private<typename Rows::Scores> s, p;
    typename Block::template Private<typename Rows::Sums> sums;
    typename Block::template Private<typename Rows::Operands> with;
    typename Block::template Private<Statistics> of;
    const auto fetch = [&](std::int64_t key, Stage& to) {
      block.copy_async([&](int t, auto&& copy) {
        Rows::copy(t, copy, keys, key, to.keys);
        Rows::copy(t, copy, values, key, to.values);
      });
    };
    fetch(0, shared.stages[0]);
    block.alone([&](int t) {
      Rows::load(t, queries, at.first, q[t]);
      Rows::load(t, gradients, at.first, gy[t]);
      for (float& x : sums[t].v) x = 0.0F;
      unroll<2>([&]<int h>() {
        const std::int64_t r = at.first + Rows::row(t, h), n = at.head * g.queries + r;
        of[t].log_sum[h] = r < g.queries ? in.log_sum[n] * log2_e : 0.0F;
        of[t].delta[h] = r < g.queries ? in.delta[n] : 0.0F;
      });
    });
    const std::int64_t seen = g.causal && at.first + Rows::rows < g.keys ? at.first + Rows::rows : g.keys;
    for (std::int64_t key = 0; key < seen; key += tile) {
      const Stage& now = shared.stages[key / tile % 2];
      block.template wait_copies<0>();  // for this tile, and until nobody reads the one before it any more
      if (key + tile < seen) fetch(key + tile, shared.stages[(key / tile + 1) % 2]);
      const bool edge = key + tile > g.keys || (g.causal && key + tile > at.first);
      for (int c = 0; c < tile; c += 16) {
        const std::uint16_t* at_keys = now.keys.v + c * Rows::line;
        Rows::score(
            block, [&](int t) { return q[t].v; }, at_keys, [&](int t) { return s[t].v; }, with);
        Rows::score(
            block, [&](int t) { return gy[t].v; }, now.values.v + c * Rows::line, [&](int t) { return p[t].v; }, with);
        if (edge) block.alone([&](int t) { Rows::template hide<8>(t, g, at.first, key + c, s[t].v); });
        block.alone([&](int t) {
          unroll<8>([&]<int n>() {
            constexpr int h = n % 4 / 2;
            const float weight = exp2_below_one(math::fma(s[t].v[n], to_power, -of[t].log_sum[h]));
            p[t].v[n] = weight * (p[t].v[n] - of[t].delta[h]);
          });
        });
        Rows::add(
            block, [&](int t) { return p[t].v; }, at_keys, sums, with);
      }
    }
    // With a barrier: the block's next tile of queries may bring its first keys only when all have read these.
    block.each([&](int t) { Rows::store(t, gq + to_query, queries, at.first, sums[t], {scale, scale}); });
  }
};

/// A block's keys and values and the gradients of one or both: a wide head's do not fit into registers together.
template <Narrow T, int width, bool of_keys, bool of_values>
struct AttentionKeyGradientMma {
  using Rows = MmaRows<T, width>;
  using Tile = AttentionTile<float>;
  static constexpr int threads = Rows::threads, resident = Rows::resident, tile = Rows::tile;
  static_assert(2 * tile <= threads);
  struct Stage {
    typename Rows::Lines queries, gradients;
    float log_sum[tile], delta[tile];
  };
  struct Shared {
    Stage stages[2];
  };
  AttentionGeometry g;
  AttentionGradientInputs<T> in;
  T *gk, *gv;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.keys, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionPlace at = Tile::place(g, g.keys, width, i);
    const std::int64_t to_query = Tile::offset(g, g.queries, at.head), to_key = Tile::offset(g, g.keys, at.head);
    const HeadRows<T> queries{in.q + to_query, g.channels(), g.queries, g.dim};
    const HeadRows<T> gradients{in.gy + to_query, g.channels(), g.queries, g.dim};
    const HeadRows<T> keys{in.k + to_key, g.channels(), g.keys, g.dim};
    const HeadRows<T> values{in.v + to_key, g.channels(), g.keys, g.dim};
    const float scale = 1.0F / math::sqrt(static_cast<float>(g.dim)), to_power = scale * log2_e;
    typename Block::template Private<typename Rows::Left> k, v;
    typename Block::template Private<typename Rows::Scores> s, p;
    typename Block::template Private<typename Rows::Sums> key_sums, value_sums;
    typename Block::template Private<typename Rows::Operands> with;
    // Rows beyond the last query are zeros, log_sum and delta too: they add nothing.
    const auto fetch = [&](std::int64_t query, Stage& to) {
      block.copy_async([&](int t, auto&& copy) {
        Rows::copy(t, copy, queries, query, to.queries);
        Rows::copy(t, copy, gradients, query, to.gradients);
        if (t >= 2 * tile) return;
        const float* from = (t < tile ? in.log_sum : in.delta) + at.head * g.queries;
        const bool there = query + t % tile < g.queries;
        copy(Bytes<4>{}, (t < tile ? to.log_sum : to.delta) + t % tile, there ? from + query + t % tile : from, there);
      });
    };
    const std::int64_t first = g.causal ? at.first : 0;  // earlier queries do not see these keys
    fetch(first, shared.stages[0]);
    block.alone([&](int t) {
      Rows::load(t, keys, at.first, k[t]);
      for (float& x : key_sums[t].v) x = 0.0F;
      for (float& x : value_sums[t].v) x = 0.0F;
      if constexpr (of_keys) Rows::load(t, values, at.first, v[t]);
    });
    for (std::int64_t query = first; query < g.queries; query += tile) {
      const std::int64_t turn = (query - first) / tile;
      const Stage& now = shared.stages[turn % 2];
      block.template wait_copies<0>();  // for this tile, and until nobody reads the one before it any more
      if (query + tile < g.queries) fetch(query + tile, shared.stages[(turn + 1) % 2]);
      const bool edge = g.causal && query < at.first + Rows::rows;
      for (int c = 0; c < tile; c += 16) {
        const std::uint16_t* at_queries = now.queries.v + c * Rows::line;
        const std::uint16_t* at_gradients = now.gradients.v + c * Rows::line;
        Rows::score(
            block, [&](int t) { return k[t].v; }, at_queries, [&](int t) { return s[t].v; }, with);
        if (edge)
          block.alone([&](int t) {
            unroll<8>([&]<int n>() {
              const int begin = Rows::in_tile(at.first + Rows::row(t, n % 4 / 2) - query);  // the first that sees it
              if (c + Rows::column(t, n) < begin) s[t].v[n] = lowest_score;
            });
          });
        block.alone([&](int t) {
          unroll<8>([&]<int n>() {
            const float log_sum = now.log_sum[c + Rows::column(t, n)];
            s[t].v[n] = exp2_below_one(math::fma(s[t].v[n], to_power, -log_sum * log2_e));
          });
        });
        if constexpr (of_values)
          Rows::add(
              block, [&](int t) { return s[t].v; }, at_gradients, value_sums, with);
        if constexpr (of_keys) {
          Rows::score(
              block, [&](int t) { return v[t].v; }, at_gradients, [&](int t) { return p[t].v; }, with);
          block.alone([&](int t) {
            unroll<8>([&]<int n>() { p[t].v[n] = s[t].v[n] * (p[t].v[n] - now.delta[c + Rows::column(t, n)]); });
          });
          Rows::add(
              block, [&](int t) { return p[t].v; }, at_queries, key_sums, with);
        }
      }
    }
    block.each([&](int t) {
      if constexpr (of_keys) Rows::store(t, gk + to_key, keys, at.first, key_sums[t], {scale, scale});
      if constexpr (of_values) Rows::store(t, gv + to_key, values, at.first, value_sums[t], {1.0F, 1.0F});
    });
  }
};

}  // namespace hypersd::ops::launch
