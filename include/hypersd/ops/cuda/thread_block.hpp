// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/scalar.hpp>
#include <hypersd/ops/cuda/launch.hpp>
#include <type_traits>

/// \file
/// Kernels of thread blocks. Such a kernel is a struct with
///
///     static constexpr int threads;                         // of a thread block
///     using Shared;                                         // its shared memory
///     std::int64_t blocks() const;
///     template <class Block> void operator()(Block& block, std::int64_t i, Shared& shared) const;  // thread block i
///
/// written in phases between barriers, against a `Block`:
///
///     block.each(f)                  f(thread) for all threads, then a barrier
///     block.each_unsynchronized(f)   the same without the barrier
///     block.sum<X>(f)                the sum of f(thread) over all threads, in every thread; `max` likewise
///     Block::Private<X>              a variable of each thread: x[thread]
///
/// and, for tensor cores, `mma`, `ldmatrix`, `copy_async`, `wait_copies` and `quad_reduce` (ops/cuda/kernels.cuh). On
/// the GPU a `Block` is a CUDA thread block; in the tests it is a loop on the host, so that CPU tests run the kernels
/// themselves.

namespace hypersd::ops::launch {

/// No shared memory.
struct NoShared {};

/// A kernel of one thread block of `count` threads for each row of a matrix [rows, cols].
template <int count>
struct RowKernel {
  static constexpr int threads = count;
  using Shared = NoShared;
  std::int64_t rows, cols;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return rows; }
};

/// Calls f(c) for the columns of thread `t`.
template <int threads, class F>
HYPERSD_HD void thread_columns(int t, std::int64_t cols, F&& f) {
  for (std::int64_t c = t; c < cols; c += threads) f(c);
}

/// Sum of f(c) over the columns of thread `t`.
template <int threads, class X, class F>
HYPERSD_HD X thread_sum(int t, std::int64_t cols, F&& f) {
  X total = 0;
  thread_columns<threads>(t, cols, [&](std::int64_t c) { total += f(c); });
  return total;
}

/// Calls f(c) for the columns [0, cols) of a row, then waits for all threads.
template <int threads, class Block, class F>
HYPERSD_HD void each_column(Block& block, std::int64_t cols, F&& f) {
  block.each([&](int t) { thread_columns<threads>(t, cols, f); });
}

/// Sum of f(c) over the columns [0, cols) of a row, in every thread.
template <int threads, class X, class Block, class F>
HYPERSD_HD X row_sum(Block& block, std::int64_t cols, F&& f) {
  return block.template sum<X>([&](int t) { return thread_sum<threads, X>(t, cols, f); });
}

/// The largest element of a row x [cols], in every thread.
template <int threads, class Block, class T>
HYPERSD_HD Accumulator<T> row_max(Block& block, std::int64_t cols, const T* x) {
  using A = Accumulator<T>;
  return block.template max<A>([&](int t) {
    A best = x[0];
    thread_columns<threads>(t, cols, [&](std::int64_t c) { best = x[c] > best ? A(x[c]) : best; });
    return best;
  });
}

/// Calls f(threads) with the size of a thread block for rows of `cols` elements as a compile-time number: one warp for
/// short rows, for which a reduction over several costs a thread as much as some ten elements.
template <class F>
void with_row_threads(std::int64_t cols, F&& f) {
  if (cols <= 384)
    f(std::integral_constant<int, 32>{});
  else
    f(std::integral_constant<int, 128>{});
}

}  // namespace hypersd::ops::launch
