// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/matmul_cpu.hpp>
#include <hypersd/ops/reduce_cpu.hpp>
#include <limits>

namespace hypersd::ops {

/// Sizes of one attention: `dim` is the width of a head.
struct AttentionGeometry {
  std::int64_t batch, queries, keys, heads, dim;
  bool causal;
  [[nodiscard]] std::int64_t channels() const { return heads * dim; }
  /// Keys that query i sees.
  [[nodiscard]] std::int64_t visible(std::int64_t i) const { return causal ? std::min(keys, i + 1) : keys; }
};

namespace backend {

/// Query and key blocks: their scores fill 64 KiB in float.
inline constexpr std::int64_t attention_queries = 64, attention_keys = 256;

/// Up to this many keys one head's keys are held transposed, so that the inner loops run over keys.
inline constexpr std::int64_t attention_few_keys = 64;

/// One head with few keys, keys and values transposed and padded to whole registers: [dim][padded].
template <class T>
struct FewKeys {
  static constexpr std::int64_t lanes = 16;
  std::int64_t padded, dim;
  std::vector<T> buffer;
  T *kt, *vt, *gkt, *gvt, *p, *gp;

  explicit FewKeys(const AttentionGeometry& g)
      : padded((g.keys + lanes - 1) / lanes * lanes),
        dim(g.dim),
        buffer(static_cast<std::size_t>(4 * dim * padded + 2 * padded), T(0)),
        kt(buffer.data()),
        vt(kt + dim * padded),
        gkt(vt + dim * padded),
        gvt(gkt + dim * padded),
        p(gvt + dim * padded),
        gp(p + padded) {}

  void load(const AttentionGeometry& g, const T* k, const T* v) {
    for (std::int64_t m = 0; m < g.keys; ++m)
      for (std::int64_t d = 0; d < dim; ++d) {
        kt[d * padded + m] = k[m * g.channels() + d];
        vt[d * padded + m] = v[m * g.channels() + d];
      }
  }
  /// out[m] = sum over d of row[d] columns[d][m].
  void dot(T* out, const T* row, const T* columns, T scale) const {
    for (std::int64_t m = 0; m < padded; m += lanes) {
      T acc[lanes] = {};
      for (std::int64_t d = 0; d < dim; ++d)
        for (std::int64_t l = 0; l < lanes; ++l) acc[l] += row[d] * columns[d * padded + m + l];
      for (std::int64_t l = 0; l < lanes; ++l) out[m + l] = acc[l] * scale;
    }
  }
  /// Sum of weights[m] columns[d][m] over m.
  T weighted(const T* weights, const T* column) const {
    T acc[lanes] = {};
    for (std::int64_t m = 0; m < padded; m += lanes)
      for (std::int64_t l = 0; l < lanes; ++l) acc[l] += weights[m + l] * column[m + l];
    T total = 0;
    for (const T a : acc) total += a;
    return total;
  }
};

template <class T>
void attention_few(const AttentionGeometry& g, FewKeys<T>& f, T scale, const T* q, const T* k, const T* v, T* y,
                   T* lse) {
  f.load(g, k, v);
  for (std::int64_t i = 0; i < g.queries; ++i) {
    const std::int64_t n = g.visible(i);
    f.dot(f.p, q + i * g.channels(), f.kt, scale);
    T top = f.p[0];
    for (std::int64_t m = 1; m < n; ++m) top = std::max(top, f.p[m]);
    for (std::int64_t m = 0; m < f.padded; ++m) f.p[m] = m < n ? math::exp(f.p[m] - top) : T(0);
    T total = 0;
    for (std::int64_t m = 0; m < n; ++m) total += f.p[m];
    const T inv = T(1) / total;
    for (std::int64_t d = 0; d < g.dim; ++d) y[i * g.channels() + d] = f.weighted(f.p, f.vt + d * f.padded) * inv;
    lse[i] = top + math::log(total);
  }
}

template <class T>
void attention_few_backward(const AttentionGeometry& g, FewKeys<T>& f, T scale, const T* gy, const T* q, const T* k,
                            const T* v, const T* y, const T* lse, T* gq, T* gk, T* gv) {
  f.load(g, k, v);
  std::fill_n(f.gkt, 2 * f.dim * f.padded, T(0));
  for (std::int64_t i = 0; i < g.queries; ++i) {
    const std::int64_t n = g.visible(i), row = i * g.channels();
    f.dot(f.p, q + row, f.kt, scale);
    for (std::int64_t m = 0; m < f.padded; ++m) f.p[m] = m < n ? math::exp(f.p[m] - lse[i]) : T(0);
    T inner = 0;
    for (std::int64_t d = 0; d < g.dim; ++d) inner += gy[row + d] * y[row + d];
    f.dot(f.gp, gy + row, f.vt, T(1));
    for (std::int64_t m = 0; m < f.padded; ++m) f.gp[m] = f.p[m] * (f.gp[m] - inner) * scale;
    for (std::int64_t d = 0; d < g.dim; ++d) {
      const T qd = q[row + d], gd = gy[row + d];
      gq[row + d] = f.weighted(f.gp, f.kt + d * f.padded);
      T *gkd = f.gkt + d * f.padded, *gvd = f.gvt + d * f.padded;
      for (std::int64_t m = 0; m < f.padded; ++m) {
        gkd[m] += f.gp[m] * qd;
        gvd[m] += f.p[m] * gd;
      }
    }
  }
  for (std::int64_t m = 0; m < g.keys; ++m)
    for (std::int64_t d = 0; d < g.dim; ++d) {
      gk[m * g.channels() + d] = f.gkt[d * f.padded + m];
      gv[m * g.channels() + d] = f.gvt[d * f.padded + m];
    }
}

/// Scores of `rows` queries from `i0` with `cols` keys from `m0`; hidden ones are minus infinity.
template <class T>
void attention_scores(const AttentionGeometry& g, T scale, const T* q, const T* k, std::int64_t i0, std::int64_t rows,
                      std::int64_t m0, std::int64_t cols, T* s) {
  const std::int64_t c = g.channels();
  gemm_serial(GemmShape{rows, cols, g.dim, false, true}, scale, q + i0 * c, c, k + m0 * c, c, false, s, cols);
  if (!g.causal) return;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t m = std::max<std::int64_t>(0, i0 + i + 1 - m0); m < cols; ++m)
      s[i * cols + m] = -std::numeric_limits<T>::infinity();
}

/// One head, blocks of queries against blocks of keys with a running softmax (Milakov and Gimelshein 2018).
template <class T>
void attention_many(const AttentionGeometry& g, T scale, const T* q, const T* k, const T* v, std::int64_t i0,
                    std::int64_t rows, T* y, T* lse) {
  const std::int64_t c = g.channels();
  std::vector<T> s(static_cast<std::size_t>(rows * attention_keys)), top(static_cast<std::size_t>(rows)),
      total(static_cast<std::size_t>(rows), T(0));
  std::fill(top.begin(), top.end(), -std::numeric_limits<T>::infinity());
  for (std::int64_t i = 0; i < rows; ++i) std::fill_n(y + (i0 + i) * c, g.dim, T(0));
  const std::int64_t end = g.visible(i0 + rows - 1);
  for (std::int64_t m0 = 0; m0 < end; m0 += attention_keys) {
    const std::int64_t cols = std::min(attention_keys, end - m0);
    attention_scores(g, scale, q, k, i0, rows, m0, cols, s.data());
    for (std::int64_t i = 0; i < rows; ++i) {
      T* row = s.data() + i * cols;
      auto& best = top[static_cast<std::size_t>(i)];
      auto& sum = total[static_cast<std::size_t>(i)];
      T high = best;
      for (std::int64_t m = 0; m < cols; ++m) high = std::max(high, row[m]);
      const T fade = sum > T(0) ? math::exp(best - high) : T(0);
      T add = 0;
      for (std::int64_t m = 0; m < cols; ++m) {
        row[m] = row[m] > -std::numeric_limits<T>::max() ? math::exp(row[m] - high) : T(0);
        add += row[m];
      }
      sum = sum * fade + add;
      best = high;
      for (std::int64_t d = 0; d < g.dim; ++d) y[(i0 + i) * c + d] *= fade;
    }
    gemm_serial(GemmShape{rows, g.dim, cols}, T(1), s.data(), cols, v + m0 * c, c, true, y + i0 * c, c);
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const T sum = total[static_cast<std::size_t>(i)];
    for (std::int64_t d = 0; d < g.dim; ++d) y[(i0 + i) * c + d] /= sum;
    lse[i0 + i] = top[static_cast<std::size_t>(i)] + math::log(sum);
  }
}

template <class T>
void attention_many_backward(const AttentionGeometry& g, T scale, const T* gy, const T* q, const T* k, const T* v,
                             const T* y, const T* lse, T* gq, T* gk, T* gv) {
  const std::int64_t c = g.channels();
  std::vector<T> p(static_cast<std::size_t>(attention_queries * attention_keys)), gp(p.size()),
      inner(static_cast<std::size_t>(g.queries), T(0));
  for (std::int64_t i = 0; i < g.queries; ++i) {
    for (std::int64_t d = 0; d < g.dim; ++d) inner[static_cast<std::size_t>(i)] += gy[i * c + d] * y[i * c + d];
    std::fill_n(gq + i * c, g.dim, T(0));
  }
  for (std::int64_t m0 = 0; m0 < g.keys; m0 += attention_keys) {
    const std::int64_t cols = std::min(attention_keys, g.keys - m0);
    for (std::int64_t m = m0; m < m0 + cols; ++m) {
      std::fill_n(gk + m * c, g.dim, T(0));
      std::fill_n(gv + m * c, g.dim, T(0));
    }
    for (std::int64_t i0 = 0; i0 < g.queries; i0 += attention_queries) {
      const std::int64_t rows = std::min(attention_queries, g.queries - i0);
      if (g.causal && m0 > i0 + rows - 1) continue;
      attention_scores(g, scale, q, k, i0, rows, m0, cols, p.data());
      gemm_serial(GemmShape{rows, cols, g.dim, false, true}, T(1), gy + i0 * c, c, v + m0 * c, c, false, gp.data(),
                  cols);
      for (std::int64_t i = 0; i < rows; ++i) {
        T *pi = p.data() + i * cols, *gi = gp.data() + i * cols;
        const T l = lse[i0 + i], n = inner[static_cast<std::size_t>(i0 + i)];
        for (std::int64_t m = 0; m < cols; ++m) {
          pi[m] = pi[m] > -std::numeric_limits<T>::max() ? math::exp(pi[m] - l) : T(0);
          gi[m] = pi[m] * (gi[m] - n) * scale;
        }
      }
      gemm_serial(GemmShape{cols, g.dim, rows, true, false}, T(1), p.data(), cols, gy + i0 * c, c, true, gv + m0 * c,
                  c);
      gemm_serial(GemmShape{cols, g.dim, rows, true, false}, T(1), gp.data(), cols, q + i0 * c, c, true, gk + m0 * c,
                  c);
      gemm_serial(GemmShape{rows, g.dim, cols}, T(1), gp.data(), cols, k + m0 * c, c, true, gq + i0 * c, c);
    }
  }
}

/// Calls f(head offset of queries, of keys, index of the head) for heads [begin, end) of all samples.
template <class F>
void for_each_head(const AttentionGeometry& g, std::int64_t begin, std::int64_t end, F&& f) {
  for (std::int64_t h = begin; h < end; ++h) {
    const std::int64_t b = h / g.heads, column = (h % g.heads) * g.dim;
    f(b * g.queries * g.channels() + column, b * g.keys * g.channels() + column, h);
  }
}

/// Heads a task.
inline std::int64_t attention_grain(const AttentionGeometry& g) {
  return std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, g.queries * g.keys * g.dim));
}

template <class T>
void attention(const Cpu&, const AttentionGeometry& g, const T* q, const T* k, const T* v, T* y, T* lse) {
  const T scale = T(1) / math::sqrt(static_cast<T>(g.dim));
  if (g.keys == 1) {
    // One key has weight 1 whatever its score: every query gets the value.
    const std::int64_t c = g.channels();
    for (std::int64_t r = 0; r < g.batch * g.queries; ++r)
      std::copy(v + r / g.queries * c, v + (r / g.queries + 1) * c, y + r * c);
    std::fill_n(lse, g.batch * g.heads * g.queries, T(0));
    return;
  }
  if (g.keys <= attention_few_keys) {
    parallel_for(g.batch * g.heads, attention_grain(g), [&](std::int64_t begin, std::int64_t end) {
      FewKeys<T> few(g);
      for_each_head(g, begin, end, [&](std::int64_t a, std::int64_t b, std::int64_t h) {
        attention_few(g, few, scale, q + a, k + b, v + b, y + a, lse + h * g.queries);
      });
    });
    return;
  }
  const std::int64_t blocks = (g.queries + attention_queries - 1) / attention_queries;
  parallel_for(g.batch * g.heads * blocks, 1, [&](std::int64_t task, std::int64_t) {
    const std::int64_t h = task / blocks, i0 = task % blocks * attention_queries;
    for_each_head(g, h, h + 1, [&](std::int64_t a, std::int64_t b, std::int64_t head) {
      attention_many(g, scale, q + a, k + b, v + b, i0, std::min(attention_queries, g.queries - i0), y + a,
                     lse + head * g.queries);
    });
  });
}

template <class T>
void attention_backward(const Cpu&, const AttentionGeometry& g, const T* gy, const T* q, const T* k, const T* v,
                        const T* y, const T* lse, T* gq, T* gk, T* gv) {
  const T scale = T(1) / math::sqrt(static_cast<T>(g.dim));
  if (g.keys == 1) {
    const std::int64_t c = g.channels();
    std::fill_n(gq, g.batch * g.queries * c, T(0));
    std::fill_n(gk, g.batch * c, T(0));
    for (std::int64_t b = 0; b < g.batch; ++b) sum_columns(gv + b * c, gy + b * g.queries * c, g.queries, c);
    return;
  }
  const bool few = g.keys <= attention_few_keys;
  parallel_for(g.batch * g.heads, few ? attention_grain(g) : 1, [&](std::int64_t begin, std::int64_t end) {
    FewKeys<T> held(few ? g : AttentionGeometry{1, 1, 1, 1, 1, false});
    for_each_head(g, begin, end, [&](std::int64_t a, std::int64_t b, std::int64_t h) {
      const T* l = lse + h * g.queries;
      if (few)
        attention_few_backward(g, held, scale, gy + a, q + a, k + b, v + b, y + a, l, gq + a, gk + b, gv + b);
      else attention_many_backward(g, scale, gy + a, q + a, k + b, v + b, y + a, l, gq + a, gk + b, gv + b);
    });
  });
}

}  // namespace backend

}  // namespace hypersd::ops
