// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <doctest/doctest.h>
#include <numbers.hpp>
#include <vector>

/// \file
/// Helpers of tests on a GPU.

namespace gpu {

inline bool have_device() {
  int count = 0;
  const bool ok = cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
  (void)cudaGetLastError();
  if (!ok) MESSAGE("no CUDA device: compiled and linked only");
  return ok;
}

template <class D, class T = float>
hypersd::Tensor<T, D> normal(const hypersd::Shape& shape, const char* name) {
  return numbers::normal<T>(shape, name).template to<D>();
}

using numbers::host;

/// Largest difference between the tensors of `f(Cpu{})` and `f(Cuda{})`; infinity if a second run on the GPU changes a
/// bit of one.
template <class F>
double distance_to_cpu(F&& f) {
  const auto expected = f(hypersd::Cpu{});
  const auto got = f(hypersd::Cuda{}), again = f(hypersd::Cuda{});
  return numbers::repeatable_distance(expected, got, again);
}

}  // namespace gpu
