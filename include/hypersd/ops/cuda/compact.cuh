// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <thrust/iterator/counting_iterator.h>
#include <cub/device/device_select.cuh>
#include <hypersd/ops/cuda/cub.cuh>

namespace hypersd::ops::backend {

/// By cub::DeviceSelect, which keeps the order.
inline void select(const Cuda&, std::int64_t n, const std::uint8_t* mask, std::int32_t* indices, std::int32_t* count) {
  const auto from = thrust::make_counting_iterator(std::int32_t{0});
  run_cub("select", [&](void* temporary, std::size_t& bytes, cudaStream_t stream) {
    return cub::DeviceSelect::Flagged(temporary, bytes, from, mask, indices, count, static_cast<int>(n), stream);
  });
}

}  // namespace hypersd::ops::backend
