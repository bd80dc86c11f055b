// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/vectorized.hpp>

namespace hypersd::ops::backend {

template <class T>
T row_max(const T* x, std::int64_t n) {
  constexpr std::int64_t lanes = 16;
  T best = x[0];
  std::int64_t i = 0;
  if (n >= lanes) {
    T m[lanes];
    std::copy_n(x, lanes, m);
    for (i = lanes; i + lanes <= n; i += lanes)
      for (std::int64_t l = 0; l < lanes; ++l) m[l] = x[i + l] > m[l] ? x[i + l] : m[l];
    for (const T v : m) best = v > best ? v : best;
  }
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

/// Sum of f(i) over [0, n) in sixteen lanes.
template <class T, class F>
T row_sum(std::int64_t n, F&& f) {
  constexpr std::int64_t lanes = 16;
  T acc[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (std::int64_t l = 0; l < lanes; ++l) acc[l] += f(i + l);
  for (; i < n; ++i) acc[0] += f(i);
  T total = 0;
  for (const T a : acc) total += a;
  return total;
}

/// y = e^(x - max), returning the sum; y may be x.
template <class T>
T exp_row(const T* x, T* y, std::int64_t n, T shift) {
  vectorized_loop(n, [=](std::int64_t i) { y[i] = math::exp(x[i] - shift); });
  return row_sum<T>(n, [=](std::int64_t i) { return y[i]; });
}

/// Calls f(r) for rows of `cols` elements.
template <class F>
void for_rows(std::int64_t rows, std::int64_t cols, F&& f) {
  parallel_for(rows, std::max<std::int64_t>(1, 8192 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r) f(r);
               });
}

template <class T>
void softmax(const Cpu&, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  for_rows(rows, cols, [&](std::int64_t r) {
    vectorized([in = x + r * cols, out = y + r * cols, cols] {
      const T scale = T(1) / exp_row(in, out, cols, row_max(in, cols));
      for (std::int64_t c = 0; c < cols; ++c) out[c] *= scale;
    });
  });
}

template <class T>
void softmax_gradient(const Cpu&, std::int64_t rows, std::int64_t cols, const T* g, const T* y, T* gx) {
  for_rows(rows, cols, [&](std::int64_t r) {
    vectorized([a = g + r * cols, b = y + r * cols, out = gx + r * cols, cols] {
      const T dot = row_sum<T>(cols, [=](std::int64_t c) { return a[c] * b[c]; });
      for (std::int64_t c = 0; c < cols; ++c) out[c] = b[c] * (a[c] - dot);
    });
  });
}

/// Loss of each row.
template <class T>
void cross_entropy(const Cpu&, std::int64_t rows, std::int64_t cols, const T* logits, const std::int32_t* labels,
                   T smoothing, T* loss) {
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* x = logits + r * cols;
    require<OptionError>(labels[r] >= 0 && labels[r] < cols, "cross_entropy: label ", labels[r], " not in [0, ", cols,
                         ")");
    const T shift = row_max(x, cols);
    const T log_sum = math::log(row_sum<T>(cols, [=](std::int64_t c) { return math::exp(x[c] - shift); }));
    T out = (T(1) - smoothing) * (log_sum - (x[labels[r]] - shift));
    if (smoothing > T(0))
      out +=
          smoothing * (log_sum - row_sum<T>(cols, [=](std::int64_t c) { return x[c] - shift; }) / static_cast<T>(cols));
    loss[r] = out;
  });
}

template <class T>
void cross_entropy_gradient(const Cpu&, std::int64_t rows, std::int64_t cols, const T* logits,
                            const std::int32_t* labels, T smoothing, const T* g, T* out) {
  const T scale = *g / static_cast<T>(rows), rest = smoothing / static_cast<T>(cols);
  for_rows(rows, cols, [&](std::int64_t r) {
    const T* x = logits + r * cols;
    T* o = out + r * cols;
    const T inverse = T(1) / exp_row(x, o, cols, row_max(x, cols));
    for (std::int64_t c = 0; c < cols; ++c) o[c] = scale * (o[c] * inverse - rest);
    o[labels[r]] -= scale * (T(1) - smoothing);
  });
}

}  // namespace hypersd::ops::backend
