// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>

/// \file
/// Softmax and cross-entropy over the rows of a matrix: a thread block a row.

namespace hypersd::ops::launch {

/// The largest element of a row x and the sum of exp(x - max), in every thread.
template <class A>
struct SoftmaxStatistics {
  A max, total;
};
template <int threads, class Block, class T>
HYPERSD_HD SoftmaxStatistics<Accumulator<T>> softmax_statistics(Block& block, std::int64_t cols, const T* x) {
  using A = Accumulator<T>;
  const A max = row_max<threads>(block, cols, x);
  return {max, row_sum<threads, A>(block, cols, [&](std::int64_t c) { return math::exp(x[c] - max); })};
}

template <class T, int count>
struct SoftmaxKernel : RowKernel<count> {
  using A = Accumulator<T>;
  const T* in;
  T* out;
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, NoShared&) const {
    const std::int64_t width = this->cols;
    const T* x = in + r * width;
    T* y = out + r * width;
    const auto s = softmax_statistics<count>(block, width, x);
    const A scale = A(1) / s.total;
    each_column<count>(block, width, [&](std::int64_t c) { y[c] = converted<T>(math::exp(x[c] - s.max) * scale); });
  }
};

template <class T, int count>
struct SoftmaxGradientKernel : RowKernel<count> {
  using A = Accumulator<T>;
  const T *gy, *y;
  T* gx;
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, NoShared&) const {
    const std::int64_t width = this->cols;
    const T* a = gy + r * width;
    const T* b = y + r * width;
    T* out = gx + r * width;
    const A dot = row_sum<count, A>(block, width, [&](std::int64_t c) { return widened(a[c]) * b[c]; });
    each_column<count>(block, width, [&](std::int64_t c) { out[c] = converted<T>(b[c] * (a[c] - dot)); });
  }
};

/// Loss of each row; NaN for a label outside [0, cols), because a kernel cannot throw.
template <class T, int count>
struct CrossEntropyKernel : RowKernel<count> {
  using A = Accumulator<T>;
  const T* logits;
  const std::int32_t* labels;
  A smoothing;
  A* loss;
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, NoShared&) const {
    const std::int64_t width = this->cols;
    const T* x = logits + r * width;
    const auto s = softmax_statistics<count>(block, width, x);
    const A shifted = row_sum<count, A>(block, width, [&](std::int64_t c) { return x[c] - s.max; });
    block.each([&](int t) {
      if (t != 0) return;
      const A log_sum = math::log(s.total);
      const std::int64_t label = labels[r];
      const bool valid = label >= 0 && label < width;
      const A chosen = valid ? x[label] - s.max : static_cast<A>(__builtin_nanf(""));
      A out = (A(1) - smoothing) * (log_sum - chosen);
      if (smoothing > A(0)) out += smoothing * (log_sum - shifted / static_cast<A>(width));
      loss[r] = out;
    });
  }
};

template <class T, int count>
struct CrossEntropyGradientKernel : RowKernel<count> {
  using A = Accumulator<T>;
  const T* logits;
  const std::int32_t* labels;
  A smoothing;
  const T* g;
  T* out;
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, NoShared&) const {
    const std::int64_t width = this->cols;
    const T* x = logits + r * width;
    T* o = out + r * width;
    const A scale = *g / static_cast<A>(this->rows), rest = smoothing / static_cast<A>(width);
    const auto s = softmax_statistics<count>(block, width, x);
    const A inverse = A(1) / s.total;
    each_column<count>(block, width, [&](std::int64_t c) {
      const A p = math::exp(x[c] - s.max) * inverse - rest;
      o[c] = converted<T>(scale * (c == labels[r] ? p - (A(1) - smoothing) : p));
    });
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T>
void softmax(const D& device, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  launch::with_row_threads(cols, [&]<int n>(std::integral_constant<int, n>) {
    run_blocks(device, "softmax", launch::SoftmaxKernel<T, n>{{rows, cols}, x, y});
  });
}

template <launch::KernelDevice D, class T>
void softmax_gradient(const D& device, std::int64_t rows, std::int64_t cols, const T* gy, const T* y, T* gx) {
  launch::with_row_threads(cols, [&]<int n>(std::integral_constant<int, n>) {
    run_blocks(device, "softmax_gradient", launch::SoftmaxGradientKernel<T, n>{{rows, cols}, gy, y, gx});
  });
}

template <launch::KernelDevice D, class T>
void cross_entropy(const D& device, std::int64_t rows, std::int64_t cols, const T* logits, const std::int32_t* labels,
                   Accumulator<T> smoothing, Accumulator<T>* loss) {
  launch::with_row_threads(cols, [&]<int n>(std::integral_constant<int, n>) {
    run_blocks(device, "cross_entropy",
               launch::CrossEntropyKernel<T, n>{{rows, cols}, logits, labels, smoothing, loss});
  });
}

template <launch::KernelDevice D, class T>
void cross_entropy_gradient(const D& device, std::int64_t rows, std::int64_t cols, const T* logits,
                            const std::int32_t* labels, Accumulator<T> smoothing, const T* g, T* out) {
  launch::with_row_threads(cols, [&]<int n>(std::integral_constant<int, n>) {
    run_blocks(device, "cross_entropy_gradient",
               launch::CrossEntropyGradientKernel<T, n>{{rows, cols}, logits, labels, smoothing, g, out});
  });
}

}  // namespace hypersd::ops::backend
