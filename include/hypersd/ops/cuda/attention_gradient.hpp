// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/attention_gradient.hpp>
#include <hypersd/ops/cuda/attention.hpp>
#include <hypersd/ops/cuda/attention_gradient_mma.hpp>
#include <hypersd/ops/cuda/attention_mma.hpp>
#include <hypersd/ops/cuda/elements.hpp>
#include <hypersd/ops/reduce.hpp>
#include <type_traits>

/// \file
/// Gradient of attention in two sweeps over the scores, which are recomputed from the saved row sums: blocks of queries
/// for the gradient of the queries, blocks of keys for those of keys and values. Every block writes its own rows only.

namespace hypersd::ops::launch {

/// Sums of gy y over the columns of a head, which are read `columns` at a time.
template <class T, int columns>
struct AttentionDeltaElements {
  AttentionGeometry g;
  const T *gy, *y;
  Accumulator<T>* delta;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.heads * g.queries; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [head, n] = divide(i, g.queries);
    const std::int64_t at = AttentionTile<Accumulator<T>>::offset(g, g.queries, head) + n * g.channels();
    Accumulator<T> sum = 0, a[columns], b[columns];
    for (std::int64_t d = 0; d < g.dim; d += columns) {
      read_together<columns>(gy + at + d, a);
      read_together<columns>(y + at + d, b);
      for (int k = 0; k < columns; ++k) sum += a[k] * b[k];
    }
    delta[i] = sum;
  }
};

template <class T, int width>
struct AttentionQueryGradient {
  using A = Accumulator<T>;
  using Tile = AttentionTile<A>;
  using Shared = typename Tile::Shared;
  static constexpr int threads = Tile::threads, tile = Tile::tile, line = tile + 1;
  AttentionGeometry g;
  AttentionGradientInputs<T> in;
  T* gq;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.queries, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionPlace at = Tile::place(g, g.queries, width, i);
    const std::int64_t to_query = Tile::offset(g, g.queries, at.head), to_key = Tile::offset(g, g.keys, at.head);
    const std::int64_t stride = g.channels();
    const A scale = A(1) / math::sqrt(static_cast<A>(g.dim));
    const HeadRows<T> queries{in.q + to_query, stride, g.queries, g.dim, scale};
    const HeadRows<T> gradients{in.gy + to_query, stride, g.queries, g.dim};
    const HeadRows<T> keys{in.k + to_key, stride, g.keys, g.dim};
    const HeadRows<T> values{in.v + to_key, stride, g.keys, g.dim};
    typename Block::template Private<typename Tile::Scores> s, p;
    typename Block::template Private<typename Tile::template Sums<width>> out;
    block.each([&](int t) {
      for (A& x : out[t].v) x = A(0);
    });
    const std::int64_t seen = g.causal && at.first + tile < g.keys ? at.first + tile : g.keys;
    for (std::int64_t key = 0; key < seen; key += tile) {
      Tile::score(block, shared, queries, at.first, keys, key, s);
      Tile::score(block, shared, gradients, at.first, values, key, p);
      block.each([&](int t) {
        Tile::for_scores(t, [&]<int n>(int r, int c) {
          const std::int64_t query = at.first + r;
          const bool visible = query < g.queries && key + c < g.keys && (!g.causal || key + c <= query);
          A w = 0;
          if (visible) {
            const std::int64_t row = at.head * g.queries + query;
            w = math::exp(s[t].v[n] - in.log_sum[row]) * (p[t].v[n] - in.delta[row]);
          }
          shared.weights[r * line + c] = w;
        });
      });
      Tile::template add_weighted<width>(block, shared, keys, key, at.column, out);
    }
    block.each([&](int t) {
      Tile::template for_sums<width>(t, at.column, g.dim, out[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.queries) gq[to_query + (at.first + r) * stride + c] = converted<T>(sum * scale);
      });
    });
  }
};

template <class T, int width>
struct AttentionKeyGradient {
  using A = Accumulator<T>;
  using Tile = AttentionTile<A>;
  using Shared = typename Tile::Shared;
  static constexpr int threads = Tile::threads, tile = Tile::tile, line = tile + 1;
  AttentionGeometry g;
  AttentionGradientInputs<T> in;
  T *gk, *gv;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return Tile::blocks(g, g.keys, width); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const AttentionPlace at = Tile::place(g, g.keys, width, i);
    const std::int64_t to_query = Tile::offset(g, g.queries, at.head), to_key = Tile::offset(g, g.keys, at.head);
    const std::int64_t stride = g.channels();
    const A scale = A(1) / math::sqrt(static_cast<A>(g.dim));
    const HeadRows<T> keys{in.k + to_key, stride, g.keys, g.dim, scale};
    const HeadRows<T> values{in.v + to_key, stride, g.keys, g.dim};
    const HeadRows<T> queries{in.q + to_query, stride, g.queries, g.dim};
    const HeadRows<T> gradients{in.gy + to_query, stride, g.queries, g.dim};
    typename Block::template Private<typename Tile::Scores> s, p;
    typename Block::template Private<typename Tile::template Sums<width>> of_keys, of_values;
    block.each([&](int t) {
      for (A& x : of_keys[t].v) x = A(0);
      for (A& x : of_values[t].v) x = A(0);
    });
    for (std::int64_t query = g.causal ? at.first : 0; query < g.queries; query += tile) {
      Tile::score(block, shared, keys, at.first, queries, query, s);
      Tile::score(block, shared, values, at.first, gradients, query, p);
      block.each([&](int t) {
        Tile::for_scores(t, [&]<int n>(int r, int c) {
          const std::int64_t key = at.first + r;
          const bool visible = key < g.keys && query + c < g.queries && (!g.causal || key <= query + c);
          A weight = 0, w = 0;
          if (visible) {
            const std::int64_t row = at.head * g.queries + query + c;
            weight = math::exp(s[t].v[n] - in.log_sum[row]);
            w = weight * (p[t].v[n] - in.delta[row]);
          }
          shared.weights[r * line + c] = weight;
          p[t].v[n] = w;
        });
      });
      Tile::template add_weighted<width>(block, shared, gradients, query, at.column, of_values);
      block.each(
          [&](int t) { Tile::for_scores(t, [&]<int n>(int r, int c) { shared.weights[r * line + c] = p[t].v[n]; }); });
      Tile::template add_weighted<width>(block, shared, queries, query, at.column, of_keys);
    }
    block.each([&](int t) {
      Tile::template for_sums<width>(t, at.column, g.dim, of_keys[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.keys) gk[to_key + (at.first + r) * stride + c] = converted<T>(sum * scale);
      });
      Tile::template for_sums<width>(t, at.column, g.dim, of_values[t], [&](int r, std::int64_t c, A sum) {
        if (at.first + r < g.keys) gv[to_key + (at.first + r) * stride + c] = converted<T>(sum);
      });
    });
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

/// Calls f(width) with the columns of a result that one block keeps, at most `most`, as a compile-time number.
template <int most, class F>
void with_head_width(std::int64_t dim, F&& f) {
  if (dim <= 64) return f(std::integral_constant<int, 64>{});
  if constexpr (most > 128)
    if (dim > 128) return f(std::integral_constant<int, most>{});
  f(std::integral_constant<int, 128>{});
}

/// True if tensor cores did it: heads at most 160 wide, by eights, in aligned tensors.
template <launch::KernelDevice D, Narrow T>
bool attention_on_tensor_cores(const D& device, const AttentionGeometry& g, const T* q, const T* k, const T* v, T* y,
                               float* log_sum) {
  return launch::with_mma_width(g.dim, [&](auto width) {
    using Body = launch::AttentionMma<T, decltype(width)::value>;
    if (!Body::fits(g, q, k, v, y)) return false;
    run_blocks(device, "attention", Body{g, q, k, v, y, log_sum});
    return true;
  });
}

template <launch::KernelDevice D, class T>
void attention(const D& device, const AttentionGeometry& g, const T* q, const T* k, const T* v, T* y,
               Accumulator<T>* log_sum) {
  if (g.keys == 1) {
    run_elements(device, "attention", launch::FillElements<Accumulator<T>>{log_sum, 0, g.batch * g.heads * g.queries});
    return run_elements(device, "attention", launch::AttentionSingleElements<T>{g, v, y});
  }
  if constexpr (Narrow<T>) {
    if (attention_on_tensor_cores(device, g, q, k, v, y, log_sum)) return;
  }
  with_head_width<256>(g.dim, [&](auto width) {
    run_blocks(device, "attention", launch::AttentionForward<T, decltype(width)::value>{g, q, k, v, y, log_sum});
  });
}

/// True if tensor cores did it, as in `attention_on_tensor_cores`.
template <launch::KernelDevice D, Narrow T>
bool attention_gradient_on_tensor_cores(const D& device, const AttentionGeometry& g,
                                        const launch::AttentionGradientInputs<T>& in, T* gq, T* gk, T* gv) {
  constexpr const char* name = "attention_gradient";
  return launch::with_mma_width(g.dim, [&](auto head) {
    constexpr int width = decltype(head)::value;
    if (!launch::mma_fits(g, width, in.gy, in.q, in.k, in.v, gq, gk, gv)) return false;
    run_blocks(device, name, launch::AttentionQueryGradientMma<T, width>{g, in, gq});
    if constexpr (width <= 128) {
      run_blocks(device, name, launch::AttentionKeyGradientMma<T, width, true, true>{g, in, gk, gv});
    } else {
      run_blocks(device, name, launch::AttentionKeyGradientMma<T, width, true, false>{g, in, gk, gv});
      run_blocks(device, name, launch::AttentionKeyGradientMma<T, width, false, true>{g, in, gk, gv});
    }
    return true;
  });
}

template <launch::KernelDevice D, class T>
void attention_gradient(const D& device, const AttentionGeometry& g, const T* gy, const T* q, const T* k, const T* v,
                        const T* y, const Accumulator<T>* log_sum, T* gq, T* gk, T* gv) {
  constexpr const char* name = "attention_gradient";
  if (g.keys == 1) {  // constant weights: only the value has a gradient
    run_elements(device, name, launch::FillElements<T>{gq, T(0), g.batch * g.queries * g.channels()});
    run_elements(device, name, launch::FillElements<T>{gk, T(0), g.batch * g.channels()});
    return sum_rows(device, gv, gy, g.batch, g.queries, g.channels());
  }
  const Tensor<Accumulator<T>, D> delta(Shape{g.batch, g.heads, g.queries});
  launch::with_together<T>(g.dim, {gy, y}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, name, launch::AttentionDeltaElements<T, n>{g, gy, y, delta.data()});
  });
  const launch::AttentionGradientInputs<T> in{gy, q, k, v, log_sum, delta.data()};
  if constexpr (Narrow<T>) {
    if (attention_gradient_on_tensor_cores(device, g, in, gq, gk, gv)) return;
  }
  with_head_width<128>(g.dim, [&](auto width) {
    constexpr int columns = decltype(width)::value;
    run_blocks(device, name, launch::AttentionQueryGradient<T, columns>{g, in, gq});
    run_blocks(device, name, launch::AttentionKeyGradient<T, columns>{g, in, gk, gv});
  });
}

}  // namespace hypersd::ops::backend
