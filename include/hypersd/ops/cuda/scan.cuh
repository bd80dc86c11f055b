// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <concepts>
#include <cub/block/block_scan.cuh>
#include <cub/device/device_scan.cuh>
#include <hypersd/ops/cpu/scan.hpp>
#include <hypersd/ops/cuda/cub.cuh>
#include <hypersd/ops/cuda/kernels.cuh>

namespace hypersd::ops::backend {

/// A thread block a row, tile by tile with the sum of the tiles before.
template <Prefix prefix, class T>
__global__ void scan_rows_kernel(std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  constexpr int items = 4, tile = launch::threads * items;
  using Scan = cub::BlockScan<T, launch::threads>;
  __shared__ typename Scan::TempStorage scratch;
  for (std::int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    T before = 0;
    for (std::int64_t begin = 0; begin < cols; begin += tile) {
      const std::int64_t first = begin + static_cast<std::int64_t>(threadIdx.x) * items;
      T values[items], total = 0;
      for (int i = 0; i < items; ++i) values[i] = first + i < cols ? x[r * cols + first + i] : T(0);
      if constexpr (prefix == Prefix::inclusive)
        Scan(scratch).InclusiveSum(values, values, total);
      else
        Scan(scratch).ExclusiveSum(values, values, total);
      for (int i = 0; i < items; ++i)
        if (first + i < cols) y[r * cols + first + i] = before + values[i];
      before += total;
      __syncthreads();
    }
  }
}

/// One row of integers by cub::DeviceScan. Not so floating-point numbers: with its decoupled look-back "results for
/// pseudo-associative operators may vary from run to run" (cub/device/device_scan.cuh).
template <Prefix prefix, class T>
void scan_rows(const Cuda&, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  constexpr const char* op = prefix == Prefix::inclusive ? "inclusive_sum" : "exclusive_sum";
  if constexpr (std::integral<T>) {
    if (rows == 1 && cols < std::int64_t{1} << 31) {
      const auto count = static_cast<int>(cols);
      return run_cub(op, [&](void* temporary, std::size_t& bytes, cudaStream_t stream) {
        if constexpr (prefix == Prefix::inclusive)
          return cub::DeviceScan::InclusiveSum(temporary, bytes, x, y, count, stream);
        else
          return cub::DeviceScan::ExclusiveSum(temporary, bytes, x, y, count, stream);
      });
    }
  }
  const auto grid = static_cast<unsigned>(std::min<std::int64_t>(rows, 65535));
  hypersd::detail::launch(op, {grid, launch::threads}, scan_rows_kernel<prefix, T>, rows, cols, x, y);
}

}  // namespace hypersd::ops::backend
