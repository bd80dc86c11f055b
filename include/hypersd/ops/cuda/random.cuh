// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/context_cuda.cuh>
#include <hypersd/core/device.hpp>
#include <hypersd/core/math.hpp>
#include <hypersd/ops/cuda/launch.hpp>

namespace hypersd::ops::backend {

/// A thread a Philox counter, whose four outputs give four elements, sixteen apart, as on the CPU.
template <class T>
__global__ void normal_kernel(T* out, std::int64_t n, Stream s, std::int64_t offset) {
  const std::int64_t counters = launch::philox_counters(offset, n);
  for (std::int64_t i = launch::first(blockIdx.x, threadIdx.x); i < counters; i += launch::stride(gridDim.x)) {
    const Words4 v = philox_words(s, static_cast<std::uint64_t>(launch::philox_element(offset, i, 0)));
    float normals[4];
    math::box_muller(v.x, v.y, normals[0], normals[1]);
    math::box_muller(v.z, v.w, normals[2], normals[3]);
    for (int word = 0; word < 4; ++word) {
      const std::int64_t j = launch::philox_element(offset, i, word) - offset;
      if (j >= 0 && j < n) out[j] = converted<T>(normals[word]);
    }
  }
}

template <class T>
__global__ void uniform_kernel(T* out, std::int64_t n, Stream s, std::int64_t offset, Accumulator<T> low,
                               Accumulator<T> high) {
  for (std::int64_t i = launch::first(blockIdx.x, threadIdx.x); i < n; i += launch::stride(gridDim.x))
    out[i] = converted<T>(low + (high - low) *
                                    static_cast<Accumulator<T>>(uniform_at(s, static_cast<std::uint64_t>(offset + i))));
}

template <class T>
void normal(const Cuda&, T* out, std::int64_t n, Stream s, std::int64_t offset) {
  if (n == 0) return;
  const auto grid = static_cast<unsigned>(launch::blocks(launch::philox_counters(offset, n)));
  hypersd::detail::launch("normal", {grid, launch::threads}, normal_kernel<T>, out, n, s, offset);
}

template <class T>
void uniform(const Cuda&, T* out, std::int64_t n, Stream s, std::int64_t offset, Accumulator<T> low,
             Accumulator<T> high) {
  if (n == 0) return;
  const auto grid = static_cast<unsigned>(launch::blocks(n));
  hypersd::detail::launch("uniform", {grid, launch::threads}, uniform_kernel<T>, out, n, s, offset, low, high);
}

}  // namespace hypersd::ops::backend
