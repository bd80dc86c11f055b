// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>
#include <hypersd/ops/geometry.hpp>
#include <utility>

/// \file
/// What the kernels of attention share: the rows of a head, and matmuls of tiles in shared memory.

namespace hypersd::ops::launch {

template <class F, int... i>
HYPERSD_HD void unroll_steps(F&& f, std::integer_sequence<int, i...>) {
  (f.template operator()<i>(), ...);
}
/// f<0>(), ..., f<n - 1>(): with constant indices, arrays stay in registers.
template <int n, class F>
HYPERSD_HD void unroll(F&& f) {
  unroll_steps(f, std::make_integer_sequence<int, n>{});
}

/// The rows [count, dim] of one head of one sample, times `scale`; zeros beyond the last row and column.
template <class T>
struct HeadRows {
  using A = Accumulator<T>;
  const T* data;
  std::int64_t stride, count, dim;
  A scale = 1;
  [[nodiscard]] HYPERSD_HD A at(std::int64_t row, std::int64_t d) const {
    return row < count && d < dim ? data[row * stride + d] * scale : A(0);
  }
};
/// Those of head `head` = b heads + h in a tensor [batch, rows, C].
template <class T>
HYPERSD_HD HeadRows<T> head_rows(const AttentionGeometry& g, const T* data, std::int64_t rows, std::int64_t head,
                                 Accumulator<T> scale = 1) {
  return {data + g.head_offset(rows, head), g.channels(), rows, g.dim, scale};
}

/// The end of the keys that queries before `end` attend to.
HYPERSD_HD inline std::int64_t visible_keys(const AttentionGeometry& g, std::int64_t end) {
  return g.causal && end < g.keys ? end : g.keys;
}

/// The part of the result that one thread block computes.
struct AttentionBlock {
  std::int64_t head;    ///< b heads + h
  std::int64_t first;   ///< row
  std::int64_t column;  ///< first column of the head
};

/// Matmuls of tiles in shared memory: thread (ty, tx) of 16 x 16 computes rows ty + 16 i and columns tx + 16 j. T is
/// float or double; the tiles may be loaded from rows of a narrower type.
template <class T>
struct AttentionTile {
  static constexpr int side = 16, threads = side * side;
  static constexpr int tile = sizeof(T) == 4 ? 64 : 32;  ///< rows and columns of scores
  static constexpr int micro = tile / side;
  static constexpr int depth = 32;    ///< columns of the heads in a step of the scores
  static constexpr int columns = 64;  ///< columns of the result in a step
  static constexpr int across = columns / side;
  static constexpr int per_row = threads / tile, span = tile / per_row;  ///< threads of a row's softmax; scores of each

  struct Shared {
    T panel[2 * tile * (depth + 1)];  ///< both operands of a step of the scores, or one of the result
    T weights[tile * (tile + 1)];
    T maximum[tile], total[tile], change[tile], best[threads], sum[threads];
  };
  static_assert(columns + 1 <= 2 * (depth + 1), "the operand of a step of the result fits the panel");
  struct Scores {
    T v[micro * micro];
  };
  /// A thread's part of a result of `width` columns.
  template <int width>
  struct Accumulators {
    T v[width / columns * micro * across];
  };

  [[nodiscard]] HYPERSD_HD static std::int64_t tiles(std::int64_t rows) { return (rows + tile - 1) / tile; }
  [[nodiscard]] HYPERSD_HD static std::int64_t blocks(const AttentionGeometry& g, std::int64_t rows, int width) {
    return g.batch * g.heads * ((g.dim + width - 1) / width) * tiles(rows);
  }
  [[nodiscard]] HYPERSD_HD static AttentionBlock block_of(const AttentionGeometry& g, std::int64_t rows, int width,
                                                          std::int64_t i) {
    const std::int64_t parts = (g.dim + width - 1) / width, of_head = i / tiles(rows);
    return {of_head / parts, i % tiles(rows) * tile, of_head % parts * width};
  }
  [[nodiscard]] HYPERSD_HD static int row(int t, int i) { return t / side + side * i; }
  [[nodiscard]] HYPERSD_HD static int column(int t, int j) { return t % side + side * j; }

  /// s[i, j] = sum over d of a[a_first + row i, d] b[b_first + column j, d].
  template <class Block, class E, class S>
  HYPERSD_HD static void score(Block& block, Shared& shared, const HeadRows<E>& a, std::int64_t a_first,
                               const HeadRows<E>& b, std::int64_t b_first, S& s) {
    constexpr int line = depth + 1;
    T* const left = shared.panel;
    T* const right = shared.panel + tile * line;
    for (std::int64_t d = 0; d < a.dim; d += depth) {
      block.each([&](int t) {
        if (d == 0) unroll<micro * micro>([&]<int k>() { s[t].v[k] = T(0); });
        for (int i = t; i < tile * depth; i += threads) {
          const int r = i / depth, e = i % depth;
          left[r * line + e] = a.at(a_first + r, d + e);
          right[r * line + e] = b.at(b_first + r, d + e);
        }
      });
      block.each([&](int t) {
        for (int e = 0; e < depth; ++e) {
          T x[micro], y[micro];
          unroll<micro>([&]<int k>() {
            x[k] = left[row(t, k) * line + e];
            y[k] = right[column(t, k) * line + e];
          });
          unroll<micro * micro>([&]<int k>() { s[t].v[k] += x[k / micro] * y[k % micro]; });
        }
      });
    }
  }

  /// Calls f(row, column, score k) for a thread's scores.
  template <class F>
  HYPERSD_HD static void for_scores(int t, F&& f) {
    unroll<micro * micro>([&]<int k>() { f.template operator()<k>(row(t, k / micro), column(t, k % micro)); });
  }

  /// out[r, c] += sum over k of weights[r, k] m[first + k, begin + c].
  template <int width, class Block, class E, class S>
  HYPERSD_HD static void add_weighted(Block& block, Shared& shared, const HeadRows<E>& m, std::int64_t first,
                                      std::int64_t begin, S& out) {
    constexpr int line = columns + 1;
    unroll<width / columns>([&]<int piece>() {
      const std::int64_t at = begin + piece * columns;
      if (at >= m.dim) return;
      block.each([&](int t) {
        for (int i = t; i < tile * columns; i += threads)
          shared.panel[i / columns * line + i % columns] = m.at(first + i / columns, at + i % columns);
      });
      block.each([&](int t) {
        for (int k = 0; k < tile; ++k) {
          T w[micro], y[across];
          unroll<micro>([&]<int i>() { w[i] = shared.weights[row(t, i) * (tile + 1) + k]; });
          unroll<across>([&]<int j>() { y[j] = shared.panel[k * line + column(t, j)]; });
          unroll<micro * across>(
              [&]<int n>() { out[t].v[piece * micro * across + n] += w[n / across] * y[n % across]; });
        }
      });
    });
  }

  /// Calls f(row, column of the head, element) for a thread's part of a result that begins at column `begin`.
  template <int width, class F>
  HYPERSD_HD static void for_accumulators(int t, std::int64_t begin, std::int64_t dim, const Accumulators<width>& sums,
                                          F&& f) {
    unroll<width / columns * micro * across>([&]<int n>() {
      constexpr int piece = n / (micro * across), i = n % (micro * across) / across, j = n % across;
      const std::int64_t c = begin + piece * columns + column(t, j);
      if (c < dim) f(row(t, i), c, sums.v[n]);
    });
  }
};

}  // namespace hypersd::ops::launch
