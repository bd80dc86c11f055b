// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/tabulate.h>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_segmented_radix_sort.cuh>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/sort.hpp>
#include <hypersd/ops/cuda/copy.hpp>
#include <hypersd/ops/cuda/cub.cuh>

/// \file
/// Sorting by the radix sorts of CUB, which are stable and do not synchronize: DeviceRadixSort for one row,
/// DeviceSegmentedRadixSort, a thread block a row, for several. (DeviceSegmentedSort reads the sizes of its groups back
/// to the host.)

namespace hypersd::ops::backend {

template <class T>
void sort_rows(const Cuda&, Order order, std::int64_t rows, std::int64_t cols, const T* x, T* values,
               std::int32_t* indices) {
  constexpr const char* op = "sort";
  constexpr int bits = 8 * static_cast<int>(sizeof(T));
  const auto count = static_cast<int>(rows * cols), segments = static_cast<int>(rows);
  const Tensor<std::int32_t, Cuda> columns(Shape{rows * cols});
  run_thrust(op, [&](const auto& policy) {
    thrust::tabulate(policy, columns.data(), columns.data() + count, Repeated{static_cast<std::int32_t>(cols), 1});
  });
  const std::int32_t* from = columns.data();
  const auto begin = thrust::make_transform_iterator(thrust::make_counting_iterator(std::int32_t{0}),
                                                     Repeated{segments + 1, static_cast<std::int32_t>(cols)});
  const bool descending = order == Order::descending;
  run_cub(op, [&](void* temporary, std::size_t& bytes, cudaStream_t stream) {
    using One = cub::DeviceRadixSort;
    using Many = cub::DeviceSegmentedRadixSort;
    if (rows == 1 && descending)
      return One::SortPairsDescending(temporary, bytes, x, values, from, indices, count, 0, bits, stream);
    if (rows == 1) return One::SortPairs(temporary, bytes, x, values, from, indices, count, 0, bits, stream);
    if (descending)
      return Many::SortPairsDescending(temporary, bytes, x, values, from, indices, count, segments, begin, begin + 1, 0,
                                       bits, stream);
    return Many::SortPairs(temporary, bytes, x, values, from, indices, count, segments, begin, begin + 1, 0, bits,
                           stream);
  });
}

template <class T>
void top_k_rows(const Cuda& cuda, std::int64_t rows, std::int64_t cols, std::int64_t k, const T* x, T* values,
                std::int32_t* indices) {
  const Tensor<T, Cuda> sorted(Shape{rows, cols});
  const Tensor<std::int32_t, Cuda> places(Shape{rows, cols});
  sort_rows(cuda, Order::descending, rows, cols, x, sorted.data(), places.data());
  copy_columns(cuda, values, k, static_cast<const T*>(sorted.data()), cols, rows, k);
  copy_columns(cuda, indices, k, static_cast<const std::int32_t*>(places.data()), cols, rows, k);
}

}  // namespace hypersd::ops::backend
