// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/mma_rows.hpp>
#include <type_traits>

/// \file
/// Attention of 16-bit tensors on tensor cores, by tiles with a running softmax (Dao, 2023, "FlashAttention-2"): a warp
/// keeps 16 queries, their scores and their part of the result in registers; keys and values come through shared
/// memory. Scores and sums are float, weights are rounded to 16 bits before they meet the values.

namespace hypersd::ops::launch {

/// Queries of one tile of one head that is at most `width` wide, a multiple of 8 as the head's own width.
template <Narrow T, int width>
struct AttentionMma {
  using Tile = AttentionTile<float>;
  static constexpr int tile = 64, warp_rows = 16, threads = tile / warp_rows * 32;
  static constexpr int padded = (width + 15) / 16 * 16;  ///< a product adds 16 columns up
  /// An odd multiple of 16: then the four rows that half a warp reads at once lie in different banks.
  static constexpr int key_line = padded / 16 % 2 == 1 ? padded : padded + 16, value_line = tile + 16;
  static_assert(width % 8 == 0 && tile == Tile::tile);

  struct Shared {  // bits: shared memory has no initial values
    alignas(16) std::uint16_t keys[tile * key_line];
    alignas(16) std::uint16_t values[width * value_line];  ///< transposed: the sum over the keys is along a line
  };
  struct Queries {
    std::uint32_t v[padded / 16 * 4];
  };
  struct Scores {
    float v[tile / 8 * 4];
  };
  struct Sums {
    float v[width / 8 * 4];
  };
  struct Rows {
    float top[2], change[2], total[2];  ///< of the two rows that a lane has a part of
  };
  /// A thread's part of a tile of keys and values on its way through registers.
  struct Incoming {
    static constexpr int of_keys = padded / 8 * tile / threads, of_values = (width / 8 * tile + threads - 1) / threads;
    Word<16> keys[of_keys], values[of_values];
  };
  struct Operands {
    std::uint32_t a[4];
    Word<8> b;
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
    typename Block::template Private<Queries> queries;
    typename Block::template Private<Scores> s;
    typename Block::template Private<Sums> out;
    typename Block::template Private<Rows> rows;
    typename Block::template Private<Operands> with;
    typename Block::template Private<Incoming> incoming;
    block.alone([&](int t) {
      load_queries(t, at, queries[t]);
      for (float& x : out[t].v) x = 0.0F;
      rows[t] = {{lowest_score, lowest_score}, {0.0F, 0.0F}, {0.0F, 0.0F}};
    });
    const float scale = log2_e / math::sqrt(static_cast<float>(g.dim));
    const std::int64_t seen = g.causal && at.first + tile < g.keys ? at.first + tile : g.keys;
    for (std::int64_t key = 0; key < seen; key += tile) {
      block.alone([&](int t) { fetch(t, at, key, incoming[t]); });
      block.each([](int) {});  // nobody reads the tile before any more
      block.each([&](int t) { stow(t, incoming[t], shared); });
      unroll<tile / 8 * (padded / 16)>([&]<int n>() {
        constexpr int j = n / (padded / 16), d = n % (padded / 16);
        block.template mma<T>([&](int t) {
          if constexpr (d == 0) unroll<4>([&]<int c>() { s[t].v[4 * j + c] = 0.0F; });
          with[t].b = load_word<8>(right(shared.keys + 8 * j * key_line + 16 * d, key_line, t));
          return MmaRegisters{s[t].v + 4 * j, queries[t].v + 4 * d, with[t].b.v};
        });
      });
      weigh(block, at, key, scale, s, rows);
      block.alone([&](int t) { unroll<width / 8 * 4>([&]<int c>() { out[t].v[c] *= rows[t].change[c % 4 / 2]; }); });
      unroll<tile / 16 * (width / 8)>([&]<int n>() {
        constexpr int e = n / (width / 8), c = n % (width / 8);
        block.template mma<T>([&](int t) {
          if constexpr (c == 0)
            unroll<4>([&]<int r>() { with[t].a[r] = packed<T>(s[t].v[8 * e + 2 * r], s[t].v[8 * e + 2 * r + 1]); });
          with[t].b = load_word<8>(right(shared.values + 8 * c * value_line + 16 * e, value_line, t));
          return MmaRegisters{out[t].v + 4 * c, with[t].a, with[t].b.v};
        });
      });
    }
    unroll<2>([&]<int h>() {
      block.quad([&](int t) -> float& { return rows[t].total[h]; }, [](float a, float b) { return a + b; });
    });
    block.alone([&](int t) { store(t, at, scale, out[t], rows[t]); });
  }

 private:
  /// What a lane reads of the right factor at `corner`, whose columns are lines of shared memory.
  [[nodiscard]] HYPERSD_HD static const std::uint16_t* right(const std::uint16_t* corner, int line, int t) {
    const MmaPlace p = mma_b(t % 32, 0);
    return corner + p.col * line + mma_inner(p.row);
  }

  /// Row of the head that half `h` of a lane's numbers belongs to.
  [[nodiscard]] HYPERSD_HD static std::int64_t row(int t, const AttentionPlace& at, int h) {
    return at.first + t / 32 * warp_rows + mma_c(t % 32, 2 * h).row;
  }

  HYPERSD_HD void load_queries(int t, const AttentionPlace& at, Queries& to) const {
    const T* head = q + Tile::offset(g, g.queries, at.head);
    unroll<padded / 16 * 4>([&]<int n>() {
      const MmaPlace p = mma_a(t % 32, n % 4);
      const std::int64_t r = at.first + t / 32 * warp_rows + p.row, c = n / 4 * 16 + mma_inner(p.col);
      to.v[n] = r < g.queries && c < g.dim ? load_word<4>(head + r * g.channels() + c).v[0] : 0U;
    });
  }

  /// A thread's part of the keys and values [key, key + tile): zeros beyond the last row and column.
  HYPERSD_HD void fetch(int t, const AttentionPlace& at, std::int64_t key, Incoming& to) const {
    const std::int64_t offset = Tile::offset(g, g.keys, at.head);
    const auto eight = [&](const T* from, int r, int c) {
      const bool there = key + r < g.keys && c < g.dim;
      return there ? load_word<16>(from + offset + (key + r) * g.channels() + c) : Word<16>{};
    };
    unroll<Incoming::of_keys>([&]<int n>() {
      const int i = n * threads + t;
      to.keys[n] = eight(k, i / (padded / 8), i % (padded / 8) * 8);
    });
    unroll<Incoming::of_values>([&]<int n>() {
      const int i = n * threads + t;
      to.values[n] = eight(v, i % tile, i / tile * 8);
    });
  }
  HYPERSD_HD static void stow(int t, const Incoming& from, Shared& shared) {
    unroll<Incoming::of_keys>([&]<int n>() {
      const int i = n * threads + t;
      store_word(shared.keys + i / (padded / 8) * key_line + i % (padded / 8) * 8, from.keys[n]);
    });
    // Neighbouring threads have neighbouring keys: what they store lies together.
    unroll<Incoming::of_values>([&]<int n>() {
      const int i = n * threads + t, r = i % tile, c = i / tile * 8, place = r / 16 * 16 + mma_inner(r % 16);
      if (c >= width) return;
      unroll<8>([&]<int e>() {
        shared.values[(c + e) * value_line + place] =
            static_cast<std::uint16_t>(from.values[n].v[e / 2] >> (16 * (e % 2)));
      });
    });
  }

  /// Scores become weights relative to the largest score of their row so far; `change` is the factor of all before.
  template <class Block, class S, class R>
  HYPERSD_HD void weigh(Block& block, const AttentionPlace& at, std::int64_t key, float scale, S& s, R& rows) const {
    typename Block::template Private<Rows> now;
    if (key + tile > g.keys || (g.causal && key + tile > at.first))
      block.alone([&](int t) {
        unroll<tile / 8 * 4>([&]<int n>() {
          const std::int64_t c = key + n / 4 * 8 + mma_c(t % 32, n % 4).col;
          if (c >= g.keys || (g.causal && c > row(t, at, n % 4 / 2))) s[t].v[n] = lowest_score;
        });
      });
    block.alone([&](int t) {
      unroll<2>([&]<int h>() { now[t].top[h] = rows[t].top[h]; });
      unroll<tile / 8 * 4>([&]<int n>() { now[t].top[n % 4 / 2] = __builtin_fmaxf(now[t].top[n % 4 / 2], s[t].v[n]); });
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
      unroll<tile / 8 * 4>([&]<int n>() {
        constexpr int h = n % 4 / 2;
        s[t].v[n] = exp2_below_one(math::fma(s[t].v[n], scale, -rows[t].top[h] * scale));
        rows[t].total[h] += s[t].v[n];
      });
    });
  }

  HYPERSD_HD void store(int t, const AttentionPlace& at, float scale, const Sums& sums, const Rows& rows) const {
    T* head = y + Tile::offset(g, g.queries, at.head);
    unroll<2>([&]<int h>() {
      const std::int64_t r = row(t, at, h);
      if (r >= g.queries) return;
      const float inverse = 1.0F / rows.total[h];
      unroll<width / 8>([&]<int n>() {
        const std::int64_t c = 8 * n + mma_c(t % 32, 0).col;
        if (c < g.dim)
          store_word(head + r * g.channels() + c,
                     Word<4>{packed<T>(sums.v[4 * n + 2 * h] * inverse, sums.v[4 * n + 2 * h + 1] * inverse)});
      });
      if (t % 4 == 0) log_sum[at.head * g.queries + r] = rows.top[h] * scale * 0.693147181F + math::log(rows.total[h]);
    });
  }
};

}  // namespace hypersd::ops::launch
