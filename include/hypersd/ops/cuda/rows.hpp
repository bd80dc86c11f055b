// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/cpu/layer_norm.hpp>
#include <hypersd/ops/cpu/softmax.hpp>
#include <hypersd/ops/cuda/elements.hpp>
#include <type_traits>

/// \file
/// Operations of which a CUDA thread block does one row. A body is written against a `Block`: `block.each(f)` runs
/// f(thread) for all threads and waits for them, `block.sum(f)` adds f(thread) over them (`largest` likewise) and gives
/// every thread the result; a variable that each thread has for itself is a `Private`. On the GPU that is a thread
/// block (ops/cuda/kernels.cuh), in the tests a loop, so that CPU tests run the kernels themselves.

namespace hypersd::ops::launch {

/// Sum of f(c) over the columns of thread t.
template <int threads, class T, class F>
HYPERSD_HD T thread_sum(int t, std::int64_t cols, F&& f) {
  T total = 0;
  for (std::int64_t c = t; c < cols; c += threads) total += f(c);
  return total;
}

/// The largest x of a row, in every thread.
template <int threads, class Block, class T>
HYPERSD_HD Accumulator<T> row_largest(Block& block, std::int64_t cols, const T* x) {
  using A = Accumulator<T>;
  return block.template largest<A>([&](int t) {
    A best = x[0];
    for (std::int64_t c = t; c < cols; c += threads) best = x[c] > best ? A(x[c]) : best;
    return best;
  });
}

/// Nothing in shared memory.
struct NoShared {};

template <class T, int count>
struct SoftmaxRow {
  static constexpr int threads = count;
  using Shared = NoShared;
  using A = Accumulator<T>;
  std::int64_t rows, cols;
  const T* in;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return rows; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, Shared&) const {
    const T* x = in + r * cols;
    T* y = out + r * cols;
    const A shift = row_largest<threads>(block, cols, x);
    const A scale = A(1) / block.template sum<A>([&](int t) {
      return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return math::exp(x[c] - shift); });
    });
    block.each([&](int t) {
      for (std::int64_t c = t; c < cols; c += threads) y[c] = converted<T>(math::exp(x[c] - shift) * scale);
    });
  }
};

template <class T, int count>
struct SoftmaxGradientRow {
  static constexpr int threads = count;
  using Shared = NoShared;
  using A = Accumulator<T>;
  std::int64_t rows, cols;
  const T *g, *y;
  T* gx;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return rows; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, Shared&) const {
    const T* a = g + r * cols;
    const T* b = y + r * cols;
    T* out = gx + r * cols;
    const A dot = block.template sum<A>(
        [&](int t) { return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return widened(a[c]) * b[c]; }); });
    block.each([&](int t) {
      for (std::int64_t c = t; c < cols; c += threads) out[c] = converted<T>(b[c] * (a[c] - dot));
    });
  }
};

/// Loss of each row; NaN for a label outside [0, cols), because a kernel cannot throw.
template <class T, int count>
struct CrossEntropyRow {
  static constexpr int threads = count;
  using Shared = NoShared;
  using A = Accumulator<T>;
  std::int64_t rows, cols;
  const T* logits;
  const std::int32_t* labels;
  A smoothing;
  A* loss;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return rows; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, Shared&) const {
    const T* x = logits + r * cols;
    const A shift = row_largest<threads>(block, cols, x);
    const A total = block.template sum<A>([&](int t) {
      return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return math::exp(x[c] - shift); });
    });
    const A above = block.template sum<A>(
        [&](int t) { return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return x[c] - shift; }); });
    block.each([&](int t) {
      if (t != 0) return;
      const A log_sum = math::log(total);
      const std::int64_t label = labels[r];
      const bool ok = label >= 0 && label < cols;
      const A chosen = ok ? x[label] - shift : static_cast<A>(__builtin_nanf(""));
      A out = (A(1) - smoothing) * (log_sum - chosen);
      if (smoothing > A(0)) out += smoothing * (log_sum - above / static_cast<A>(cols));
      loss[r] = out;
    });
  }
};

template <class T, int count>
struct CrossEntropyGradientRow {
  static constexpr int threads = count;
  using Shared = NoShared;
  using A = Accumulator<T>;
  std::int64_t rows, cols;
  const T* logits;
  const std::int32_t* labels;
  A smoothing;
  const T* g;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return rows; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, Shared&) const {
    const T* x = logits + r * cols;
    T* o = out + r * cols;
    const A scale = *g / static_cast<A>(rows), rest = smoothing / static_cast<A>(cols);
    const A shift = row_largest<threads>(block, cols, x);
    const A inverse = A(1) / block.template sum<A>([&](int t) {
      return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return math::exp(x[c] - shift); });
    });
    block.each([&](int t) {
      for (std::int64_t c = t; c < cols; c += threads) {
        const A p = math::exp(x[c] - shift) * inverse - rest;
        o[c] = converted<T>(scale * (c == labels[r] ? p - (A(1) - smoothing) : p));
      }
    });
  }
};

/// Gradient of an embedding, whose result is zero beforehand: the block of an id's first place adds up all its rows, in
/// the order of the ids; the other blocks have nothing to do.
template <class T>
struct EmbeddingGradientRow {
  static constexpr int threads = 128;
  using Shared = NoShared;
  const T* g;
  std::int64_t rows, cols;
  const std::int32_t* ids;
  std::int64_t count;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return count; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared&) const {
    const std::int32_t id = ids[i];
    if (id < 0 || id >= rows) return;
    const int earlier = block.template sum<int>(
        [&](int t) { return thread_sum<threads, int>(t, i, [&](std::int64_t j) { return ids[j] == id ? 1 : 0; }); });
    if (earlier > 0) return;
    block.each([&](int t) {
      for (std::int64_t c = t; c < cols; c += threads) {
        Accumulator<T> total = 0;
        for (std::int64_t j = i; j < count; ++j)
          if (ids[j] == id) total += g[j * cols + c];
        out[id * cols + c] = converted<T>(total);
      }
    });
  }
};

/// Normalises each row: mean, then variance from the deviations.
template <class T, int count>
struct LayerNormRow {
  static constexpr int threads = count;
  using Shared = NoShared;
  using A = Accumulator<T>;
  std::int64_t rows, cols;
  const T *in, *gamma, *beta;
  A eps;
  T* out;
  A *mean, *rstd;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return rows; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, Shared&) const {
    const T* x = in + r * cols;
    T* y = out + r * cols;
    const A one_over = A(1) / static_cast<A>(cols);
    const A center = block.template sum<A>([&](int t) {
      return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return widened(x[c]); });
    }) * one_over;
    const A variance = block.template sum<A>([&](int t) {
      return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return (x[c] - center) * (x[c] - center); });
    }) * one_over;
    const A inverse = A(1) / math::sqrt(variance + eps);
    block.each([&](int t) {
      if (t == 0) {
        mean[r] = center;
        rstd[r] = inverse;
      }
      for (std::int64_t c = t; c < cols; c += threads) {
        const A z = (x[c] - center) * inverse;
        y[c] = converted<T>(z * (gamma ? A(gamma[c]) : A(1)) + (beta ? A(beta[c]) : A(0)));
      }
    });
  }
};

template <class T, int count>
struct LayerNormGradientRow {
  static constexpr int threads = count;
  using Shared = NoShared;
  using A = Accumulator<T>;
  std::int64_t rows, cols;
  const T *gy, *in, *gamma;
  const A *mean, *rstd;
  T* gx;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return rows; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t r, Shared&) const {
    const T* x = in + r * cols;
    const T* g = gy + r * cols;
    T* out = gx + r * cols;
    const A center = mean[r], inverse = rstd[r], one_over = A(1) / static_cast<A>(cols);
    const auto slope = [&](std::int64_t c) { return gamma ? A(gamma[c]) * g[c] : A(g[c]); };
    const A s = block.template sum<A>([&](int t) { return thread_sum<threads, A>(t, cols, slope); }) * one_over;
    const A p = block.template sum<A>([&](int t) {
      return thread_sum<threads, A>(t, cols, [&](std::int64_t c) { return slope(c) * (x[c] - center); });
    }) * one_over *
                inverse * inverse;
    block.each([&](int t) {
      for (std::int64_t c = t; c < cols; c += threads)
        out[c] = converted<T>(inverse * (slope(c) - s - (x[c] - center) * p));
    });
  }
};

/// Shares of the rows of a slab in the gradients of gamma and beta: a thread a column.
template <class T>
struct LayerNormParameterElements {
  using A = Accumulator<T>;
  std::int64_t rows, cols, slabs;
  const T *gy, *x;
  const A *mean, *rstd;
  A *gamma_parts, *beta_parts;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return slabs * cols; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [slab, c] = divide(i, cols);
    const Range range = part(rows, slabs, slab);
    A gamma = 0, beta = 0;
    for (std::int64_t r = range.begin; r < range.end; ++r) {
      const A g = gy[r * cols + c];
      gamma += (x[r * cols + c] - mean[r]) * rstd[r] * g;
      beta += g;
    }
    gamma_parts[i] = gamma;
    beta_parts[i] = beta;
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

/// Calls f(threads) with the threads of a block for rows of `cols` elements as a compile-time number.
template <class F>
void with_row_threads(std::int64_t cols, F&& f) {
  // Adding a row up costs each thread as much as some ten elements.
  if (cols <= 384)
    f(std::integral_constant<int, 32>{});
  else
    f(std::integral_constant<int, 128>{});
}

template <launch::KernelDevice D, class T>
void softmax(const D& device, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  with_row_threads(cols, [&](auto threads) {
    run_blocks(device, "softmax", launch::SoftmaxRow<T, decltype(threads)::value>{rows, cols, x, y});
  });
}

template <launch::KernelDevice D, class T>
void softmax_gradient(const D& device, std::int64_t rows, std::int64_t cols, const T* g, const T* y, T* gx) {
  with_row_threads(cols, [&](auto threads) {
    run_blocks(device, "softmax_gradient",
               launch::SoftmaxGradientRow<T, decltype(threads)::value>{rows, cols, g, y, gx});
  });
}

template <launch::KernelDevice D, class T>
void cross_entropy(const D& device, std::int64_t rows, std::int64_t cols, const T* logits, const std::int32_t* labels,
                   Accumulator<T> smoothing, Accumulator<T>* loss) {
  with_row_threads(cols, [&](auto threads) {
    run_blocks(device, "cross_entropy",
               launch::CrossEntropyRow<T, decltype(threads)::value>{rows, cols, logits, labels, smoothing, loss});
  });
}

template <launch::KernelDevice D, class T>
void cross_entropy_gradient(const D& device, std::int64_t rows, std::int64_t cols, const T* logits,
                            const std::int32_t* labels, Accumulator<T> smoothing, const T* g, T* out) {
  with_row_threads(cols, [&](auto threads) {
    run_blocks(
        device, "cross_entropy_gradient",
        launch::CrossEntropyGradientRow<T, decltype(threads)::value>{rows, cols, logits, labels, smoothing, g, out});
  });
}

template <launch::KernelDevice D, class T>
void embedding_gradient(const D& device, const T* g, std::int64_t rows, std::int64_t cols, const std::int32_t* ids,
                        std::int64_t count, T* out) {
  run_elements(device, "embedding_gradient", launch::FillElements<T>{out, T(0), rows * cols});
  run_blocks(device, "embedding_gradient", launch::EmbeddingGradientRow<T>{g, rows, cols, ids, count, out});
}

template <launch::KernelDevice D, class T>
void layer_norm(const D& device, std::int64_t rows, std::int64_t cols, const T* x, const T* gamma, const T* beta,
                double eps, T* y, Accumulator<T>* mean, Accumulator<T>* rstd) {
  with_row_threads(cols, [&](auto threads) {
    run_blocks(device, "layer_norm",
               launch::LayerNormRow<T, decltype(threads)::value>{rows, cols, x, gamma, beta,
                                                                 static_cast<Accumulator<T>>(eps), y, mean, rstd});
  });
}

template <launch::KernelDevice D, class T>
void layer_norm_gradient(const D& device, std::int64_t rows, std::int64_t cols, std::int64_t slabs, const T* gy,
                         const T* x, const T* gamma, const Accumulator<T>* mean, const Accumulator<T>* rstd, T* gx,
                         Accumulator<T>* gamma_parts, Accumulator<T>* beta_parts) {
  with_row_threads(cols, [&](auto threads) {
    run_blocks(device, "layer_norm_gradient",
               launch::LayerNormGradientRow<T, decltype(threads)::value>{rows, cols, gy, x, gamma, mean, rstd, gx});
  });
  if (gamma_parts)
    run_elements(device, "layer_norm_gradient",
                 launch::LayerNormParameterElements<T>{rows, cols, slabs, gy, x, mean, rstd, gamma_parts, beta_parts});
}

}  // namespace hypersd::ops::backend
