// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/cpu/attention.hpp>
#include <hypersd/ops/cuda/launch.hpp>
#include <utility>

/// \file
/// Attention by tiles with a running softmax, a thread block for each tile of queries of a head, written as
/// ops/cuda/rows.hpp says. Any width of a head will do: it is gone through in pieces, and a result wider than the
/// registers of a block is shared out among blocks, which score again.

namespace hypersd::ops::launch {

template <class F, int... i>
HYPERSD_HD void unroll_steps(F&& f, std::integer_sequence<int, i...>) {
  (f.template operator()<i>(), ...);
}
/// f<0>(), ..., f<n - 1>(): array elements named so stay in registers.
template <int n, class F>
HYPERSD_HD void unroll(F&& f) {
  unroll_steps(f, std::make_integer_sequence<int, n>{});
}

/// Rows of one head of one sample, times `scale`; zeros beyond the last row and column.
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

/// What both sweeps of the gradient read. `delta` is the sum of gy y over the columns of a head, [B, heads, N] as
/// `log_sum`.
template <class T>
struct AttentionGradientInputs {
  const T *gy, *q, *k, *v;
  const Accumulator<T>*log_sum, *delta;
};

/// What one block of attention is about.
struct AttentionPlace {
  std::int64_t head;    ///< of all samples: b heads + h
  std::int64_t first;   ///< row of its tile
  std::int64_t column;  ///< first column of its part of the result
};

/// Products of tiles in shared memory: thread (ty, tx) of 16 x 16 has rows ty + 16 i and columns tx + 16 j. T is float
/// or double; the rows that tiles are made of may have a narrower type.
template <class T>
struct AttentionTile {
  static constexpr int side = 16, threads = side * side;
  static constexpr int tile = sizeof(T) == 4 ? 64 : 32;  ///< rows and columns of scores
  static constexpr int micro = tile / side;
  static constexpr int depth = 32;    ///< of the heads' width at a time, when scoring
  static constexpr int columns = 64;  ///< of the result at a time
  static constexpr int across = columns / side;
  static constexpr int per_row = threads / tile, span = tile / per_row;  ///< threads of a row's softmax; their scores

  struct Shared {
    T panel[2 * tile * (depth + 1)];  ///< two pieces of rows to score, or one of rows to add up
    T weights[tile * (tile + 1)];
    T maximum[tile], total[tile], change[tile], best[threads], sum[threads];
  };
  static_assert(columns + 1 <= 2 * (depth + 1), "a piece of rows to add up fits the panel");
  struct Scores {
    T v[micro * micro];
  };
  /// A thread's part of a result of `width` columns.
  template <int width>
  struct Sums {
    T v[width / columns * micro * across];
  };

  [[nodiscard]] HYPERSD_HD static std::int64_t tiles(std::int64_t rows) { return (rows + tile - 1) / tile; }
  [[nodiscard]] HYPERSD_HD static std::int64_t blocks(const AttentionGeometry& g, std::int64_t rows, int width) {
    return g.batch * g.heads * ((g.dim + width - 1) / width) * tiles(rows);
  }
  [[nodiscard]] HYPERSD_HD static AttentionPlace place(const AttentionGeometry& g, std::int64_t rows, int width,
                                                       std::int64_t i) {
    const std::int64_t parts = (g.dim + width - 1) / width, of_head = i / tiles(rows);
    return {of_head / parts, i % tiles(rows) * tile, of_head % parts * width};
  }
  /// Offset of a head in tensors of `rows` rows a sample.
  [[nodiscard]] HYPERSD_HD static std::int64_t offset(const AttentionGeometry& g, std::int64_t rows,
                                                      std::int64_t head) {
    return head / g.heads * rows * g.channels() + head % g.heads * g.dim;
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

  /// Calls f(row, column of the head, sum) for what a thread has of a result that begins at column `begin`.
  template <int width, class F>
  HYPERSD_HD static void for_sums(int t, std::int64_t begin, std::int64_t dim, const Sums<width>& sums, F&& f) {
    unroll<width / columns * micro * across>([&]<int n>() {
      constexpr int piece = n / (micro * across), i = n % (micro * across) / across, j = n % across;
      const std::int64_t c = begin + piece * columns + column(t, j);
      if (c < dim) f(row(t, i), c, sums.v[n]);
    });
  }
};

/// Queries of one tile of one head: y and the logarithms of the sums of exponentials.
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
    const AttentionPlace at = Tile::place(g, g.queries, width, i);
    const std::int64_t to_query = Tile::offset(g, g.queries, at.head), to_key = Tile::offset(g, g.keys, at.head);
    const std::int64_t stride = g.channels();
    const HeadRows<T> queries{q + to_query, stride, g.queries, g.dim, A(1) / math::sqrt(static_cast<A>(g.dim))};
    const HeadRows<T> keys{k + to_key, stride, g.keys, g.dim}, values{v + to_key, stride, g.keys, g.dim};
    typename Block::template Private<typename Tile::Scores> s;
    typename Block::template Private<typename Tile::template Sums<width>> out;
    block.each([&](int t) {
      for (A& x : out[t].v) x = A(0);
      if (t >= tile) return;
      shared.maximum[t] = static_cast<A>(-1e30);  // stands for minus infinity; differences of it stay finite
      shared.total[t] = A(0);
    });
    const std::int64_t seen = g.causal && at.first + tile < g.keys ? at.first + tile : g.keys;
    for (std::int64_t key = 0; key < seen; key += tile) {
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
      Tile::template for_sums<width>(t, at.column, g.dim, out[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.queries) y[to_query + (at.first + r) * stride + c] = converted<T>(sum / shared.total[r]);
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

/// One key is all the attention there is: y = v.
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
