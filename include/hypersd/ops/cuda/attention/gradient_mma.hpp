// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/attention/gradient.hpp>
#include <hypersd/ops/cuda/attention/mma_tile.hpp>

/// \file
/// Gradient of attention of 16-bit tensors on tensor cores (Dao, 2023, "FlashAttention-2"), in the two sweeps of
/// gradient.hpp. The weights P are recomputed from the saved row sums, 16 x 16 at a time, and with
/// dP = gY V^T and dS = P (dP - delta)
///
///     gQ = dS K / sqrt(d),   gK = dS^T Q / sqrt(d),   gV = P^T gY.
///
/// Scores, dP and sums are float; P and dS are rounded to 16 bits for the next matmul. The other side's tiles are
/// copied to shared memory with double buffering.

namespace hypersd::ops::launch {

/// Gradient of a tile of queries of a head.
template <Narrow T, int width>
struct AttentionQueryGradientMma {
  using Mma = MmaTile<T, width>;
  using Tile = AttentionTile<float>;
  static constexpr int threads = Mma::threads, resident = Mma::resident, tile = Mma::tile;
  struct Stage {
    typename Mma::SharedRows keys, values;
  };
  struct Shared {
    Stage stages[2];
  };
  struct Statistics {
    float log_sum[2], delta[2];  ///< of the two rows of a lane; log_sum to base 2
  };
  AttentionGeometry g;
  AttentionGradientInputs<T> in;
  T* gq;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionBlock at = Tile::block_of(g, g.queries, width, i);
    const auto queries = head_rows(g, in.q, g.queries, at.head), gradients = head_rows(g, in.gy, g.queries, at.head);
    const auto keys = head_rows(g, in.k, g.keys, at.head), values = head_rows(g, in.v, g.keys, at.head);
    const float scale = 1.0F / math::sqrt(static_cast<float>(g.dim)), to_power = scale * log2_e;
    typename Block::template Private<typename Mma::FragmentA> q, gy;
    typename Block::template Private<typename Mma::Scores> s, p;
    typename Block::template Private<typename Mma::Accumulators> sums;
    typename Block::template Private<typename Mma::Fragments> fragments;
    typename Block::template Private<Statistics> of;
    const auto prefetch = [&](std::int64_t key, Stage& to) {
      block.copy_async([&](int t, auto&& copy) {
        Mma::copy(t, copy, keys, key, to.keys);
        Mma::copy(t, copy, values, key, to.values);
      });
    };
    prefetch(0, shared.stages[0]);
    block.each_unsynchronized([&](int t) {
      Mma::load(t, queries, at.first, q[t]);
      Mma::load(t, gradients, at.first, gy[t]);
      for (float& x : sums[t].v) x = 0.0F;
      unroll<2>([&]<int h>() {
        const std::int64_t r = at.first + Mma::row(t, h), n = at.head * g.queries + r;
        of[t].log_sum[h] = r < g.queries ? in.log_sum[n] * log2_e : 0.0F;
        of[t].delta[h] = r < g.queries ? in.delta[n] : 0.0F;
      });
    });
    const std::int64_t key_end = visible_keys(g, at.first + Mma::rows);
    for (std::int64_t key = 0; key < key_end; key += tile) {
      const Stage& now = shared.stages[key / tile % 2];
      block.template wait_copies<0>();  // for this tile; and all threads have finished with the previous one
      if (key + tile < key_end) prefetch(key + tile, shared.stages[(key / tile + 1) % 2]);
      const bool masked = key + tile > g.keys || (g.causal && key + tile > at.first);
      for (int c = 0; c < tile; c += 16) {
        const std::uint16_t* at_keys = now.keys.v + c * Mma::pitch;
        Mma::score(
            block, [&](int t) { return q[t].v; }, at_keys, [&](int t) { return s[t].v; }, fragments);
        Mma::score(
            block, [&](int t) { return gy[t].v; }, now.values.v + c * Mma::pitch, [&](int t) { return p[t].v; },
            fragments);
        if (masked) block.each_unsynchronized([&](int t) { Mma::template mask<8>(t, g, at.first, key + c, s[t].v); });
        block.each_unsynchronized([&](int t) {
          unroll<8>([&]<int n>() {
            constexpr int h = n % 4 / 2;
            const float weight = exp2_below_one(math::fma(s[t].v[n], to_power, -of[t].log_sum[h]));
            p[t].v[n] = weight * (p[t].v[n] - of[t].delta[h]);
          });
        });
        Mma::add(
            block, [&](int t) { return p[t].v; }, at_keys, sums, fragments);
      }
    }
    // With a barrier: the next iteration of the thread block copies keys to shared memory that other threads still
    // read.
    block.each([&](int t) {
      Mma::store(t, gq + g.head_offset(g.queries, at.head), queries, at.first, sums[t], {scale, scale});
    });
  }
};

/// Gradients of a tile of keys, of values or of both: for large heads the registers hold one of them.
template <Narrow T, int width, bool of_keys, bool of_values>
struct AttentionKeyGradientMma {
  using Mma = MmaTile<T, width>;
  using Tile = AttentionTile<float>;
  static constexpr int threads = Mma::threads, resident = Mma::resident, tile = Mma::tile;
  static_assert(2 * tile <= threads);
  struct Stage {
    typename Mma::SharedRows queries, gradients;
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
    const AttentionBlock at = Tile::block_of(g, g.keys, width, i);
    const auto queries = head_rows(g, in.q, g.queries, at.head), gradients = head_rows(g, in.gy, g.queries, at.head);
    const auto keys = head_rows(g, in.k, g.keys, at.head), values = head_rows(g, in.v, g.keys, at.head);
    const float scale = 1.0F / math::sqrt(static_cast<float>(g.dim)), to_power = scale * log2_e;
    typename Block::template Private<typename Mma::FragmentA> k, v;
    typename Block::template Private<typename Mma::Scores> s, p;
    typename Block::template Private<typename Mma::Accumulators> key_sums, value_sums;
    typename Block::template Private<typename Mma::Fragments> fragments;
    // Rows beyond the last query are zeros, and so are their log_sum and delta: they add nothing.
    const auto prefetch = [&](std::int64_t query, Stage& to) {
      block.copy_async([&](int t, auto&& copy) {
        Mma::copy(t, copy, queries, query, to.queries);
        Mma::copy(t, copy, gradients, query, to.gradients);
        if (t >= 2 * tile) return;
        const float* from = (t < tile ? in.log_sum : in.delta) + at.head * g.queries;
        const bool valid = query + t % tile < g.queries;
        copy(Bytes<4>{}, (t < tile ? to.log_sum : to.delta) + t % tile, valid ? from + query + t % tile : from, valid);
      });
    };
    const std::int64_t first = g.causal ? at.first : 0;  // earlier queries do not attend to these keys
    prefetch(first, shared.stages[0]);
    block.each_unsynchronized([&](int t) {
      Mma::load(t, keys, at.first, k[t]);
      for (float& x : key_sums[t].v) x = 0.0F;
      for (float& x : value_sums[t].v) x = 0.0F;
      if constexpr (of_keys) Mma::load(t, values, at.first, v[t]);
    });
    for (std::int64_t query = first; query < g.queries; query += tile) {
      const std::int64_t turn = (query - first) / tile;
      const Stage& now = shared.stages[turn % 2];
      block.template wait_copies<0>();  // for this tile; and all threads have finished with the previous one
      if (query + tile < g.queries) prefetch(query + tile, shared.stages[(turn + 1) % 2]);
      const bool masked = g.causal && query < at.first + Mma::rows;
      for (int c = 0; c < tile; c += 16) {
        const std::uint16_t* at_queries = now.queries.v + c * Mma::pitch;
        const std::uint16_t* at_gradients = now.gradients.v + c * Mma::pitch;
        Mma::score(
            block, [&](int t) { return k[t].v; }, at_queries, [&](int t) { return s[t].v; }, fragments);
        if (masked)
          block.each_unsynchronized([&](int t) {
            unroll<8>([&]<int n>() {
              const int begin =
                  Mma::clamp_to_tile(at.first + Mma::row(t, n % 4 / 2) - query);  // the first that attends to it
              if (c + Mma::column(t, n) < begin) s[t].v[n] = lowest_score;
            });
          });
        block.each_unsynchronized([&](int t) {
          unroll<8>([&]<int n>() {
            const float log_sum = now.log_sum[c + Mma::column(t, n)];
            s[t].v[n] = exp2_below_one(math::fma(s[t].v[n], to_power, -log_sum * log2_e));
          });
        });
        if constexpr (of_values)
          Mma::add(
              block, [&](int t) { return s[t].v; }, at_gradients, value_sums, fragments);
        if constexpr (of_keys) {
          Mma::score(
              block, [&](int t) { return v[t].v; }, at_gradients, [&](int t) { return p[t].v; }, fragments);
          block.each_unsynchronized([&](int t) {
            unroll<8>([&]<int n>() { p[t].v[n] = s[t].v[n] * (p[t].v[n] - now.delta[c + Mma::column(t, n)]); });
          });
          Mma::add(
              block, [&](int t) { return p[t].v; }, at_queries, key_sums, fragments);
        }
      }
    }
    block.each([&](int t) {
      if constexpr (of_keys)
        Mma::store(t, gk + g.head_offset(g.keys, at.head), keys, at.first, key_sums[t], {scale, scale});
      if constexpr (of_values)
        Mma::store(t, gv + g.head_offset(g.keys, at.head), values, at.first, value_sums[t], {1.0F, 1.0F});
    });
  }
};

}  // namespace hypersd::ops::launch
