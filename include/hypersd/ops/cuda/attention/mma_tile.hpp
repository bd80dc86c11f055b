// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/attention/tile.hpp>
#include <hypersd/ops/cuda/mma.hpp>
#include <utility>

/// \file
/// The rows of a head as operands of the tensor cores (ops/cuda/mma.hpp): a thread block keeps 64 rows in registers, 16
/// a warp, and goes through the rows of the other side by tiles in shared memory.

namespace hypersd::ops::launch {

/// Replaces minus infinity for masked scores; differences of it stay finite.
inline constexpr float lowest_score = -1e30F;
/// 1 / ln 2, a factor of the scores' scale: the instruction computes powers of two.
inline constexpr float log2_e = 1.44269504F;

/// For heads of at most `width` columns; the head size and `width` are multiples of 8.
template <Narrow T, int width>
struct MmaTile {
  static constexpr int rows = 64, warp_rows = 16, threads = rows / warp_rows * 32;
  static constexpr int tile = width <= 80 ? 64 : 32;  ///< two stages of two operands take less than 48 KiB
  static constexpr int resident = width <= 32 ? 4 : width <= 80 ? 3 : 2;  ///< thread blocks a multiprocessor
  static constexpr int padded = (width + 15) / 16 * 16;                   ///< the k of an instruction is 16
  /// Elements from row to row in shared memory: an odd multiple of 16 bytes, so that the eight rows that one
  /// instruction loads are in different banks.
  static constexpr int pitch = padded + 8;
  static_assert(width % 8 == 0 && rows % tile == 0 && rows == AttentionTile<float>::tile);

  struct SharedRows {  // bits, since shared memory cannot have constructors
    alignas(16) std::uint16_t v[tile * pitch];
  };
  /// A lane's part of a warp's rows as operand A.
  struct FragmentA {
    std::uint32_t v[padded / 16 * 4];
  };
  /// A lane's part of a warp's rows of a result.
  struct Accumulators {
    float v[width / 8 * 4];
  };
  /// A lane's part of 16 x 16 scores: two C side by side.
  struct Scores {
    float v[8];
  };
  /// Registers of one operand A and two operands B.
  struct Fragments {
    std::uint32_t a[4], b[4];
  };

  /// Row of the thread block that half `h` of a lane's elements belongs to.
  [[nodiscard]] HYPERSD_HD static int row(int t, int h) { return t / 32 * warp_rows + mma_c(t % 32, 2 * h).row; }
  /// Column of score `n`, which belongs to half n % 4 / 2.
  [[nodiscard]] HYPERSD_HD static int column(int t, int n) { return n / 4 * 8 + mma_c(t % 32, n % 4).col; }

  /// Loads the warp's rows; those of the thread block begin at row `first`.
  HYPERSD_HD static void load(int t, const HeadRows<T>& from, std::int64_t first, FragmentA& to) {
    unroll<padded / 16 * 4>([&]<int n>() {
      const MmaPosition p = mma_a(t % 32, n % 4);
      const std::int64_t r = first + t / 32 * warp_rows + p.row, c = n / 4 * 16 + p.col;
      to.v[n] = r < from.count && c < from.dim ? load_vector<4>(from.data + r * from.stride + c).v[0] : 0U;
    });
  }

  /// Issues a thread's copies of the tile of rows from `first` on: zeros beyond the last row and column.
  template <class Copy>
  HYPERSD_HD static void copy(int t, Copy& copy, const HeadRows<T>& from, std::int64_t first, SharedRows& to) {
    // A thread keeps its columns and advances by rows: one address and 32-bit offsets.
    constexpr int vectors = padded / 8, step = threads / vectors;
    const int begin = t / vectors, c = t % vectors * 8, down = static_cast<int>(from.stride);
    if (threads % vectors != 0 && begin >= step) return;
    const int end = c < from.dim ? clamp_to_tile(from.count - first) : 0;
    const T* const p = from.data + (first + begin) * from.stride + c;
    unroll<(tile + step - 1) / step>([&]<int n>() {
      const int r = begin + n * step;
      if (tile % step != 0 && r >= tile) return;
      // Without a valid row the address is not read.
      copy(Bytes<16>{}, to.v + r * pitch + c, p + std::int64_t{n * step} * down, r < end);
    });
  }

  /// n limited to [0, tile].
  [[nodiscard]] HYPERSD_HD static int clamp_to_tile(std::int64_t n) {
    return n < 0 ? 0 : n < tile ? static_cast<int>(n) : tile;
  }

  /// Masks, of `count` scores of the thread block's queries and the keys from `key` on, those beyond the last key and,
  /// if causal, those after the query.
  template <int count>
  HYPERSD_HD static void mask(int t, const AttentionGeometry& g, std::int64_t first, std::int64_t key, float* s) {
    unroll<2>([&]<int h>() {
      const std::int64_t last = first + row(t, h);
      const int end = clamp_to_tile((g.causal && last < g.keys ? last + 1 : g.keys) - key);
      unroll<count>([&]<int n>() {
        if (n % 4 / 2 == h && column(t, n) >= end) s[n] = lowest_score;
      });
    });
  }

  /// s(t) [8] = the warp's rows a(t) times the transpose of the 16 rows at `b`.
  template <class Block, class R, class S, class O>
  HYPERSD_HD static void score(Block& block, R&& a, const std::uint16_t* b, S&& s, O& fragments) {
    unroll<padded / 16>([&]<int d>() {
      block.template ldmatrix<false>([&](int t) {
        return LdmatrixRegisters{ldmatrix_row_b(b + 16 * d, pitch, t % 32), fragments[t].b};
      });
      unroll<2>([&]<int j>() {
        block.template mma<T>([&](int t) {
          if constexpr (d == 0) unroll<4>([&]<int c>() { s(t)[4 * j + c] = 0.0F; });
          return MmaRegisters{s(t) + 4 * j, a(t) + 4 * d, fragments[t].b + 2 * j};
        });
      });
    });
  }

  /// sums += the rounded weights(t) [8] times the 16 rows at `b`.
  template <class Block, class W, class S, class O>
  HYPERSD_HD static void add(Block& block, W&& weights, const std::uint16_t* b, S& sums, O& fragments) {
    block.each_unsynchronized([&](int t) {
      const float* w = weights(t);
      unroll<4>([&]<int r>() { fragments[t].a[r] = packed<T>(w[2 * r], w[2 * r + 1]); });
    });
    unroll<padded / 16>([&]<int c>() {
      block.template ldmatrix<true>([&](int t) {
        return LdmatrixRegisters{ldmatrix_row_a(b + 16 * c, pitch, t % 32), fragments[t].b};
      });
      unroll<2>([&]<int j>() {
        if constexpr (16 * c + 8 * j < width)
          block.template mma<T>([&](int t) {
            return MmaRegisters{sums[t].v + 4 * (2 * c + j), fragments[t].a, fragments[t].b + 2 * j};
          });
      });
    });
  }

  /// Stores a lane's sums, times the factor of their row, to `to`, whose rows have the layout of `like`.
  HYPERSD_HD static void store(int t, T* to, const HeadRows<T>& like, std::int64_t first, const Accumulators& sums,
                               const float (&factor)[2]) {
    unroll<2>([&]<int h>() {
      const std::int64_t r = first + row(t, h);
      if (r >= like.count) return;
      unroll<width / 8>([&]<int n>() {
        const std::int64_t c = 8 * n + mma_c(t % 32, 0).col;
        if (c < like.dim)
          store_vector(to + r * like.stride + c,
                       Vector<4>{packed<T>(sums.v[4 * n + 2 * h] * factor[h], sums.v[4 * n + 2 * h + 1] * factor[h])});
      });
    });
  }
};

/// True if the kernels for heads of `width` columns can take these tensors: head size, alignment to 16 bytes, and a row
/// stride of less than 32 bits.
template <class... T>
[[nodiscard]] bool mma_fits(const AttentionGeometry& g, int width, const T*... tensors) {
  return g.dim % 8 == 0 && g.dim <= width && narrow(g.channels()) &&
         ((reinterpret_cast<std::uintptr_t>(tensors) % 16 == 0) && ...);
}

/// f(width) for the smallest kernel for heads of `dim` columns; false if there is none. The heads of Stable Diffusion
/// have 40, 64, 80 or 160 columns.
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
