// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::ops::backend {

inline std::int64_t row_grain(std::int64_t cols) { return std::max<std::int64_t>(1, 16384 / cols); }

template <class T>
void softmax(const Cpu&, T* y, const T* x, std::int64_t rows, std::int64_t cols) {
  parallel_for(rows, row_grain(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* in = x + r * cols;
      T* out = y + r * cols;
      const T top = *std::max_element(in, in + cols);
      T total = 0;
      for (std::int64_t c = 0; c < cols; ++c) {
        out[c] = math::exp(in[c] - top);
        total += out[c];
      }
      for (std::int64_t c = 0; c < cols; ++c) out[c] /= total;
    }
  });
}

template <class T>
void softmax_backward(const Cpu&, T* gx, const T* g, const T* y, std::int64_t rows, std::int64_t cols) {
  parallel_for(rows, row_grain(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      T inner = 0;
      for (std::int64_t c = r * cols; c < (r + 1) * cols; ++c) inner += g[c] * y[c];
      for (std::int64_t c = r * cols; c < (r + 1) * cols; ++c) gx[c] = y[c] * (g[c] - inner);
    }
  });
}

template <class T>
void argmax(const Cpu&, std::int32_t* out, const T* x, std::int64_t rows, std::int64_t cols) {
  for (std::int64_t r = 0; r < rows; ++r)
    out[r] = static_cast<std::int32_t>(std::max_element(x + r * cols, x + (r + 1) * cols) - (x + r * cols));
}

/// loss[r] = -sum over c of target[r, c] ln softmax(x)[r, c], and its gradient softmax(x) - target. The target is
/// 1 - smoothing at the label plus smoothing / cols everywhere.
template <class T>
void cross_entropy(const Cpu&, T* loss, T* gradient, const T* x, const std::int32_t* labels, std::int64_t rows,
                   std::int64_t cols, T smoothing) {
  for (std::int64_t r = 0; r < rows; ++r)
    require<OptionError>(labels[r] >= 0 && labels[r] < cols, "label ", labels[r], " outside ", cols, " classes");
  softmax(Cpu{}, gradient, x, rows, cols);
  const T off = smoothing / static_cast<T>(cols);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* in = x + r * cols;
    const T top = *std::max_element(in, in + cols);
    T total = 0, mean = 0;
    for (std::int64_t c = 0; c < cols; ++c) {
      total += math::exp(in[c] - top);
      mean += in[c];
    }
    const T log_total = top + math::log(total);
    loss[r] = log_total - (T(1) - smoothing) * in[labels[r]] - off * mean;
    for (std::int64_t c = 0; c < cols; ++c) gradient[r * cols + c] -= off;
    gradient[r * cols + labels[r]] -= T(1) - smoothing;
  }
}

}  // namespace hypersd::ops::backend
