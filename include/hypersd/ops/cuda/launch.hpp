// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/device.hpp>
#include <hypersd/core/philox.hpp>

/// \file
/// Element-wise kernels, and the index arithmetic of all kernels as plain functions, so that CPU tests can run it over
/// whole grids. An element-wise kernel is a struct with `std::int64_t size() const` and `operator()(Index i) const`,
/// the work of element i; a kernel of thread blocks is described in ops/cuda/thread_block.hpp.

namespace hypersd::ops::launch {

/// Devices whose operations are the kernels of this folder: `run_elements(device, name, kernel)` launches a thread for
/// each of kernel.size() elements, `run_blocks(device, name, kernel)` a thread block for each of kernel.blocks().
template <class D>
concept KernelDevice = std::derived_from<D, Cuda>;

/// Launches on the stream of the calling thread; `name` is the operation in errors. Defined in ops/cuda/kernels.cuh.
template <class Kernel>
void run_elements(const Cuda&, const char* name, const Kernel& kernel);
template <class Kernel>
void run_blocks(const Cuda&, const char* name, const Kernel& kernel);

/// Threads of a thread block in element-wise kernels and reductions.
inline constexpr int threads = 256;

/// Thread blocks of a grid-stride loop over `n` items: at least 1, at most `most`.
HYPERSD_HD constexpr std::int64_t blocks(std::int64_t n, std::int64_t most = 65535) {
  const std::int64_t b = (n + threads - 1) / threads;
  return b < 1 ? 1 : b > most ? most : b;
}

/// First item of a thread in a grid-stride loop.
HYPERSD_HD constexpr std::int64_t first(std::int64_t block, std::int64_t thread) { return block * threads + thread; }

/// Distance between the items of one thread.
HYPERSD_HD constexpr std::int64_t stride(std::int64_t grid) { return grid * threads; }

/// i / by for i >= 0, by > 0, in 32 bits where both fit.
HYPERSD_HD constexpr std::int64_t quotient(std::int64_t i, std::int64_t by) {
  if (((i | by) >> 32) == 0) return static_cast<std::uint32_t>(i) / static_cast<std::uint32_t>(by);
  return i / by;
}

/// Row and column of flat element i of a matrix with `cols` columns.
struct Position {
  std::int64_t row, col;
};
HYPERSD_HD constexpr Position position(std::int64_t i, std::int64_t cols) {
  const std::int64_t row = quotient(i, cols);
  return {row, i - row * cols};
}

/// Quotient and remainder of flat index i. `Index` has 32 bits where all indices fit: a 64-bit division costs more than
/// the memory access that it leads to.
template <class Index>
struct Divided {
  Index quotient, rest;
};
template <class Index>
HYPERSD_HD constexpr Divided<Index> divide(Index i, std::int64_t by) {
  const auto d = static_cast<Index>(by);
  const Index q = i / d;
  return {q, static_cast<Index>(i - q * d)};
}

/// Batch, row, column and channel of element i of images [batch, height, width, channels].
template <class Index>
struct Pixel {
  Index b, y, x, c;
};
template <class Index>
HYPERSD_HD constexpr Pixel<Index> pixel(Index i, std::int64_t height, std::int64_t width, std::int64_t channels) {
  const auto [column, c] = divide(i, channels);
  const auto [line, x] = divide(column, width);
  const auto [b, y] = divide(line, height);
  return {b, y, x, c};
}

/// The reverse of `pixel`: flat index of a channel.
HYPERSD_HD constexpr std::int64_t pixel_index(std::int64_t b, std::int64_t y, std::int64_t x, std::int64_t c,
                                              std::int64_t height, std::int64_t width, std::int64_t channels) {
  return ((b * height + y) * width + x) * channels + c;
}

/// True if 32-bit indices suffice for `n` items and one stride beyond the last.
HYPERSD_HD constexpr bool narrow(std::int64_t n) { return n < (std::int64_t{1} << 31); }

/// The grid-stride loop of one thread: kernel(i) for its items of [0, n).
template <class Index, class Kernel>
HYPERSD_HD void run_thread(const Kernel& kernel, std::int64_t n, std::int64_t grid, std::int64_t block,
                           std::int64_t thread) {
  const auto end = static_cast<Index>(n), step = static_cast<Index>(stride(grid));
  for (auto i = static_cast<Index>(first(block, thread)); i < end; i += step) kernel(i);
}

/// Items of a loop over `n` elements that is unrolled `per` times, so that a thread has `per` loads in flight. An
/// item's elements are `threads` apart, so that the loads of a warp stay coalesced.
HYPERSD_HD constexpr std::int64_t unrolled_items(std::int64_t n, int per) {
  const std::int64_t tile = static_cast<std::int64_t>(per) * threads;
  return (n + tile - 1) / tile * threads;
}
/// Element `u` < `per` of item `i`; it may be beyond the last element.
HYPERSD_HD constexpr std::int64_t unrolled_element(std::int64_t i, int per, int u) {
  const std::int64_t tile = i / threads;
  return (tile * per + u) * threads + (i - tile * threads);
}

/// Range `part` of `parts` ordered ranges that split [0, n) nearly evenly.
struct Range {
  std::int64_t begin, end;
};
HYPERSD_HD constexpr Range part(std::int64_t n, std::int64_t parts, std::int64_t part) {
  const std::int64_t per = (n + parts - 1) / parts;
  const std::int64_t begin = part * per < n ? part * per : n;
  return {begin, begin + per < n ? begin + per : n};
}

/// Philox counters whose 64-element blocks cover elements [offset, offset + n) of a stream: sixteen a block, numbered
/// from the first block on.
HYPERSD_HD constexpr std::int64_t philox_counters(std::int64_t offset, std::int64_t n) {
  return n <= 0 ? 0 : ((offset + n - 1) / philox_block - offset / philox_block + 1) * 16;
}
/// Stream element that output word `word` < 4 of counter `counter` gives.
HYPERSD_HD constexpr std::int64_t philox_element(std::int64_t offset, std::int64_t counter, int word) {
  return (offset / philox_block + counter / 16) * philox_block + 16 * word + counter % 16;
}

}  // namespace hypersd::ops::launch
