// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/attention.hpp>
#include <hypersd/ops/cuda/mma.hpp>
#include <utility>

/// \file
/// Rows of a head on their way to the products of ops/cuda/mma.hpp: a block keeps 64 of them, 16 a warp, in registers,
/// and meets the others a tile at a time in shared memory.

namespace hypersd::ops::launch {

/// A score that stands for minus infinity; differences of it stay finite.
inline constexpr float lowest_score = -1e30F;
/// 1 / ln 2, which goes with the scale of scores: powers of two are the instruction that there is.
inline constexpr float log2_e = 1.44269504F;

/// Heads at most `width` wide, a multiple of 8 as the head's own width.
template <Narrow T, int width>
struct MmaRows {
  static constexpr int rows = 64, warp_rows = 16, threads = rows / warp_rows * 32;
  static constexpr int tile = width <= 80 ? 64 : 32;  ///< two stages of two factors take less than 48 KiB
  static constexpr int resident = width <= 32 ? 4 : width <= 80 ? 3 : 2;  ///< blocks of a multiprocessor
  static constexpr int padded = (width + 15) / 16 * 16;                   ///< a product adds 16 columns up
  /// An odd multiple of 16 bytes: then the eight rows that are read at once lie in different banks.
  static constexpr int line = padded + 8;
  static_assert(width % 8 == 0 && rows % tile == 0 && rows == AttentionTile<float>::tile);

  struct Lines {  // bits: shared memory has no initial values
    alignas(16) std::uint16_t v[tile * line];
  };
  /// A lane's part of a warp's rows as left factor of products.
  struct Left {
    std::uint32_t v[padded / 16 * 4];
  };
  /// A lane's part of a warp's rows of a result.
  struct Sums {
    float v[width / 8 * 4];
  };
  /// A lane's part of 16 x 16 scores: two C side by side.
  struct Scores {
    float v[8];
  };
  /// One left and two right factors under way.
  struct Operands {
    std::uint32_t a[4], b[4];
  };

  /// Row of the block that half `h` of a lane's numbers belongs to.
  [[nodiscard]] HYPERSD_HD static int row(int t, int h) { return t / 32 * warp_rows + mma_c(t % 32, 2 * h).row; }
  /// Column of score `n`, which belongs to half n % 4 / 2.
  [[nodiscard]] HYPERSD_HD static int column(int t, int n) { return n / 4 * 8 + mma_c(t % 32, n % 4).col; }

  /// The warp's rows, the block's beginning at `first`.
  HYPERSD_HD static void load(int t, const HeadRows<T>& from, std::int64_t first, Left& to) {
    unroll<padded / 16 * 4>([&]<int n>() {
      const MmaPlace p = mma_a(t % 32, n % 4);
      const std::int64_t r = first + t / 32 * warp_rows + p.row, c = n / 4 * 16 + p.col;
      to.v[n] = r < from.count && c < from.dim ? load_word<4>(from.data + r * from.stride + c).v[0] : 0U;
    });
  }

  /// Starts a thread's copies of the tile of rows from `first` on: zeros beyond the last row and column.
  template <class Copy>
  HYPERSD_HD static void copy(int t, Copy& copy, const HeadRows<T>& from, std::int64_t first, Lines& to) {
    // A thread keeps its column and goes down in steps: one address, and distances in 32 bits.
    constexpr int words = padded / 8, step = threads / words;
    const int begin = t / words, c = t % words * 8, down = static_cast<int>(from.stride);
    if (threads % words != 0 && begin >= step) return;
    const int end = c < from.dim ? in_tile(from.count - first) : 0;
    const T* const p = from.data + (first + begin) * from.stride + c;
    unroll<(tile + step - 1) / step>([&]<int n>() {
      const int r = begin + n * step;
      if (tile % step != 0 && r >= tile) return;
      // Where nothing is read the address does not matter.
      copy(Bytes<16>{}, to.v + r * line + c, p + std::int64_t{n * step} * down, r < end);
    });
  }

  /// Rows or columns of a tile that come before the one `n` after its first.
  [[nodiscard]] HYPERSD_HD static int in_tile(std::int64_t n) {
    return n < 0 ? 0 : n < tile ? static_cast<int>(n) : tile;
  }

  /// Hides, of `count` scores of the block's queries with the keys from `key` on, those beyond the last key and, if
  /// causal, those after the query.
  template <int count>
  HYPERSD_HD static void hide(int t, const AttentionGeometry& g, std::int64_t first, std::int64_t key, float* s) {
    unroll<2>([&]<int h>() {
      const std::int64_t last = first + row(t, h);
      const int end = in_tile((g.causal && last < g.keys ? last + 1 : g.keys) - key);
      unroll<count>([&]<int n>() {
        if (n % 4 / 2 == h && column(t, n) >= end) s[n] = lowest_score;
      });
    });
  }

  /// s(t) [8] = the warp's rows left(t), times the 16 rows of `right` transposed.
  template <class Block, class L, class S, class O>
  HYPERSD_HD static void score(Block& block, L&& left, const std::uint16_t* right, S&& s, O& with) {
    unroll<padded / 16>([&]<int d>() {
      block.template load_matrices<false>([&](int t) {
        return MatrixRegisters{matrices_across(right + 16 * d, line, t % 32), with[t].b};
      });
      unroll<2>([&]<int j>() {
        block.template mma<T>([&](int t) {
          if constexpr (d == 0) unroll<4>([&]<int c>() { s(t)[4 * j + c] = 0.0F; });
          return MmaRegisters{s(t) + 4 * j, left(t) + 4 * d, with[t].b + 2 * j};
        });
      });
    });
  }

  /// sums += weights(t) [8], rounded, times the 16 rows of `right`.
  template <class Block, class W, class S, class O>
  HYPERSD_HD static void add(Block& block, W&& weights, const std::uint16_t* right, S& sums, O& with) {
    block.alone([&](int t) {
      const float* w = weights(t);
      unroll<4>([&]<int r>() { with[t].a[r] = packed<T>(w[2 * r], w[2 * r + 1]); });
    });
    unroll<padded / 16>([&]<int c>() {
      block.template load_matrices<true>([&](int t) {
        return MatrixRegisters{matrices_along(right + 16 * c, line, t % 32), with[t].b};
      });
      unroll<2>([&]<int j>() {
        if constexpr (16 * c + 8 * j < width)
          block.template mma<T>([&](int t) {
            return MmaRegisters{sums[t].v + 4 * (2 * c + j), with[t].a, with[t].b + 2 * j};
          });
      });
    });
  }

  /// Writes a lane's sums times the factor of their row to rows of `to` that lie as `like` does.
  HYPERSD_HD static void store(int t, T* to, const HeadRows<T>& like, std::int64_t first, const Sums& sums,
                               const float (&factor)[2]) {
    unroll<2>([&]<int h>() {
      const std::int64_t r = first + row(t, h);
      if (r >= like.count) return;
      unroll<width / 8>([&]<int n>() {
        const std::int64_t c = 8 * n + mma_c(t % 32, 0).col;
        if (c < like.dim)
          store_word(to + r * like.stride + c,
                     Word<4>{packed<T>(sums.v[4 * n + 2 * h] * factor[h], sums.v[4 * n + 2 * h + 1] * factor[h])});
      });
    });
  }
};

/// Whether kernels for heads of `width` columns may access these tensors 16 bytes at a time, rows at a distance that
/// 32 bits hold.
template <class... T>
[[nodiscard]] bool mma_fits(const AttentionGeometry& g, int width, const T*... tensors) {
  return g.dim % 8 == 0 && g.dim <= width && narrow(g.channels()) &&
         ((reinterpret_cast<std::uintptr_t>(tensors) % 16 == 0) && ...);
}

/// f(width) of the narrowest kernel for heads of `dim` columns, false if there is none. Stable Diffusion's heads are
/// 40, 64, 80 and 160 wide.
template <class F>
bool with_mma_width(std::int64_t dim, F&& f) {
  bool done = false;
  const auto first_of = [&]<int... width>(std::integer_sequence<int, width...>) {
    (void)((dim <= width && (done = f(std::integral_constant<int, width>{}), true)) || ...);
  };
  first_of(std::integer_sequence<int, 32, 40, 64, 80, 128, 160>{});
  return done;
}

}  // namespace hypersd::ops::launch
