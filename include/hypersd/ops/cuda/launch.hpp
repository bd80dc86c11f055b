// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/device.hpp>
#include <hypersd/core/philox.hpp>

/// \file
/// Index arithmetic of the CUDA kernels as plain functions, so that CPU tests can run it over whole launch grids.

namespace hypersd::ops::launch {

/// Devices whose operations are the kernels of this folder: `run_elements(device, name, op)` runs op(i) for all
/// i < op.size(), `run_blocks(device, name, body)` a thread block for each of body.blocks().
template <class D>
concept KernelDevice = std::derived_from<D, Cuda>;

/// Defined where kernels can be launched (ops/cuda/kernels.cuh); declared here for bodies of other folders.
template <class Op>
void run_elements(const Cuda&, const char* name, const Op& op);
template <class Body>
void run_blocks(const Cuda&, const char* name, const Body& body);

/// Threads of a block in element-wise kernels and reductions.
inline constexpr int threads = 256;

/// Blocks for `n` work items, at most `most`: kernels stride over the rest. At least 1.
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

/// Quotient and remainder of flat index i; `Index` is 32 bits wide where all indices fit, since wide divisions cost
/// more than the memory access they lead to.
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

/// True if `n` items and the step beyond the last of them can be counted in 32 bits.
HYPERSD_HD constexpr bool narrow(std::int64_t n) { return n < (std::int64_t{1} << 31); }

/// What one thread of a grid does: op(i) for its items of [0, n).
template <class Index, class Op>
HYPERSD_HD void run_thread(const Op& op, std::int64_t n, std::int64_t grid, std::int64_t block, std::int64_t thread) {
  const auto end = static_cast<Index>(n), step = static_cast<Index>(stride(grid));
  for (auto i = static_cast<Index>(first(block, thread)); i < end; i += step) op(i);
}

/// Work items for `n` elements of which each does `per`, so that as many reads are under way at a time; a block's items
/// begin next to each other, and an item's elements are `threads` apart.
HYPERSD_HD constexpr std::int64_t unrolled_items(std::int64_t n, int per) {
  const std::int64_t tile = static_cast<std::int64_t>(per) * threads;
  return (n + tile - 1) / tile * threads;
}
/// Element number `u` < `per` of item `i`; it may lie behind the last element.
HYPERSD_HD constexpr std::int64_t unrolled_element(std::int64_t i, int per, int u) {
  const std::int64_t tile = i / threads;
  return (tile * per + u) * threads + (i - tile * threads);
}

/// Items [begin, end) of part `part` of `parts` nearly equal, ordered parts of [0, n).
struct Range {
  std::int64_t begin, end;
};
HYPERSD_HD constexpr Range part(std::int64_t n, std::int64_t parts, std::int64_t part) {
  const std::int64_t per = (n + parts - 1) / parts;
  const std::int64_t begin = part * per < n ? part * per : n;
  return {begin, begin + per < n ? begin + per : n};
}

/// Philox counters whose 64-element blocks cover elements [offset, offset + n): counters are numbered from the first
/// covering block on, sixteen a block.
HYPERSD_HD constexpr std::int64_t philox_counters(std::int64_t offset, std::int64_t n) {
  return n <= 0 ? 0 : ((offset + n - 1) / philox_block - offset / philox_block + 1) * 16;
}
/// Stream element of word `word` of covering counter `counter`.
HYPERSD_HD constexpr std::int64_t philox_element(std::int64_t offset, std::int64_t counter, int word) {
  return (offset / philox_block + counter / 16) * philox_block + 16 * word + counter % 16;
}

}  // namespace hypersd::ops::launch
