// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cub/block/block_reduce.cuh>
#include <hypersd/core/storage_cuda.cuh>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/operand.hpp>

/// \file
/// Sums on a GPU, of thread blocks by cub::BlockReduce. The device-wide cub::DeviceReduce and DeviceSegmentedReduce are
/// "run-to-run" deterministic on one device only, since "CUB can employ different tile-sizing for different
/// architectures" (cub/device/device_reduce.cuh). Here the order depends on the shape alone, so that all GPUs give the
/// same bits, and the functor of `map_sum` is fused with its broadcast operands.

namespace hypersd::ops::backend {

/// Partial sums of one reduction: a constant, so that the order of summation depends on the shape alone.
inline constexpr int reduce_parts = 512;

template <class F, class... Args>
__global__ void map_sum_kernel(double* partial, detail::Layout layout, F f, Args... args) {
  using Reduce = cub::BlockReduce<double, launch::threads>;
  __shared__ typename Reduce::TempStorage scratch;
  const std::int64_t n = layout.rows * layout.cols;
  double total = 0;
  for (std::int64_t i = launch::first(blockIdx.x, threadIdx.x); i < n; i += launch::stride(gridDim.x)) {
    const launch::Position p = launch::position(i, layout.cols);
    total += static_cast<double>(f(widened(args.row(p.row, layout.cols)[p.col])...));
  }
  total = Reduce(scratch).Sum(total);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

template <class T>
__global__ void sum_partials_kernel(T* out, const double* partial, int n) {
  using Reduce = cub::BlockReduce<double, launch::threads>;
  __shared__ typename Reduce::TempStorage scratch;
  double total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += launch::threads) total += partial[i];
  total = Reduce(scratch).Sum(total);
  if (threadIdx.x == 0) *out = converted<T>(total);
}

template <class T, class F, class... Args>
void map_sum(const Cuda&, T* out, detail::Layout layout, const F& f, const Args&... args) {
  const auto parts = static_cast<int>(launch::blocks(layout.rows * layout.cols, reduce_parts));
  const auto scratch = Memory<Cuda>::allocate(sizeof(double) * static_cast<std::size_t>(parts));
  auto* partial = static_cast<double*>(scratch.get());
  hypersd::detail::launch("map_sum", {static_cast<unsigned>(parts), launch::threads}, map_sum_kernel<F, Args...>,
                          partial, layout, f, args...);
  hypersd::detail::launch("map_sum", {1, launch::threads}, sum_partials_kernel<T>, out, partial, parts);
}

/// Partial sums out[g, part, c]: thread block (x: columns, y: part, z: group), a thread a column.
template <class R, class T>
__global__ void sum_rows_kernel(R* out, const T* in, std::int64_t rows, std::int64_t cols, std::int64_t parts) {
  const std::int64_t c = launch::first(blockIdx.x, threadIdx.x);
  if (c >= cols) return;
  const std::int64_t g = blockIdx.z;
  const launch::Range range = launch::part(rows, parts, blockIdx.y);
  Accumulator<T> total = 0;
  for (std::int64_t r = range.begin; r < range.end; ++r) total += in[(g * rows + r) * cols + c];
  out[(g * parts + blockIdx.y) * cols + c] = converted<R>(total);
}

/// out[g, c] = sum over r of in[g, r, c], with partial sums for long columns.
template <class R, class T>
void sum_rows(const Cuda& cuda, R* out, const T* in, std::int64_t groups, std::int64_t rows, std::int64_t cols) {
  if (groups == 0 || cols == 0) return;
  constexpr std::int64_t most_groups = 65535;  // limit of gridDim.z
  for (std::int64_t g = 0; g < groups; g += most_groups) {
    const std::int64_t count = groups - g < most_groups ? groups - g : most_groups;
    const std::int64_t parts = rows > 1024 && groups == 1 ? 256 : 1;
    const dim3 grid(static_cast<unsigned>((cols + launch::threads - 1) / launch::threads), static_cast<unsigned>(parts),
                    static_cast<unsigned>(count));
    if (parts == 1) {
      hypersd::detail::launch("sum_rows", {grid, launch::threads}, sum_rows_kernel<R, T>, out + g * cols,
                              in + g * rows * cols, rows, cols, parts);
    } else {
      const auto scratch = Memory<Cuda>::allocate(sizeof(Accumulator<T>) * static_cast<std::size_t>(parts * cols));
      auto* partial = static_cast<Accumulator<T>*>(scratch.get());
      hypersd::detail::launch("sum_rows", {grid, launch::threads}, sum_rows_kernel<Accumulator<T>, T>, partial, in,
                              rows, cols, parts);
      sum_rows(cuda, out, static_cast<const Accumulator<T>*>(partial), 1, parts, cols);
    }
  }
}

template <class T>
__global__ void sum_row_kernel(T* out, const T* in, std::int64_t rows, std::int64_t cols) {
  using Reduce = cub::BlockReduce<Accumulator<T>, launch::threads>;
  __shared__ typename Reduce::TempStorage scratch;
  for (std::int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    Accumulator<T> total = 0;
    for (std::int64_t c = threadIdx.x; c < cols; c += launch::threads) total += in[r * cols + c];
    total = Reduce(scratch).Sum(total);
    if (threadIdx.x == 0) out[r] = converted<T>(total);
    __syncthreads();
  }
}

/// out[r] = sum over c of in[r, c]: a thread block a row.
template <class T>
void sum_rows_to_one(const Cuda&, T* out, const T* in, std::int64_t rows, std::int64_t cols) {
  if (rows == 0) return;
  const auto grid = static_cast<unsigned>(rows < 65535 ? rows : 65535);
  hypersd::detail::launch("sum_rows_to_one", {grid, launch::threads}, sum_row_kernel<T>, out, in, rows, cols);
}

}  // namespace hypersd::ops::backend
