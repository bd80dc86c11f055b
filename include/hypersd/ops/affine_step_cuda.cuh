// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/context_cuda.cuh>
#include <hypersd/core/math.hpp>
#include <hypersd/ops/affine_step_cpu.hpp>
#include <hypersd/ops/launch.hpp>

namespace hypersd::ops::backend {

/// One thread a Philox counter: its four words give the noise of four elements, sixteen apart, as on the CPU.
template <class T>
__global__ void affine_step_kernel(AffineStepArguments<T> p) {
  using A = Accumulator<T>;
  const std::int64_t counters = launch::philox_counters(p.offset, p.n);
  for (std::int64_t i = launch::first(blockIdx.x, threadIdx.x); i < counters; i += launch::stride(gridDim.x)) {
    float normals[4] = {0, 0, 0, 0};
    if (p.noise_scale) {
      const Words4 v = philox_words(p.stream, static_cast<std::uint64_t>(launch::philox_element(p.offset, i, 0)));
      math::box_muller(v.x, v.y, normals[0], normals[1]);
      math::box_muller(v.z, v.w, normals[2], normals[3]);
    }
    for (int word = 0; word < 4; ++word) {
      const std::int64_t j = launch::philox_element(p.offset, i, word) - p.offset;
      if (j < 0 || j >= p.n) continue;
      const std::int64_t b = launch::quotient(j, p.inner);
      A sum = p.x_scale[b] * static_cast<A>(p.x[j]) + p.first_scale[b] * static_cast<A>(p.first[j]);
      if (p.second) sum += p.second_scale[b] * static_cast<A>(p.second[j]);
      if (p.noise_scale) sum += p.noise_scale[b] * static_cast<A>(normals[word]);
      p.out[j] = static_cast<T>(sum);
    }
  }
}

template <class T>
void affine_step(const Cuda&, const AffineStepArguments<T>& p) {
  const auto grid = static_cast<unsigned>(launch::blocks(launch::philox_counters(p.offset, p.n)));
  hypersd::detail::launch("affine_step", {grid, launch::threads}, affine_step_kernel<T>, p);
}

}  // namespace hypersd::ops::backend
