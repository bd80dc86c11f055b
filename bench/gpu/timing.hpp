// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <hypersd/core/context_cuda.cuh>
#include <hypersd/core/storage_cuda.cuh>
#include <vector>

/// \file
/// Helpers of the GPU benchmarks. Each prints JSON lines; without a GPU it prints one that says so and exits with 77.

namespace bench {

/// Whether there is a GPU; prints a line if not.
inline bool have_device(const char* name) {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess && count > 0) return true;
  (void)cudaGetLastError();
  std::printf("{\"name\": \"%s\", \"skipped\": \"no CUDA device\"}\n", name);
  return false;
}

/// Median milliseconds of f() on the library's stream, between events.
template <class F>
double milliseconds(F&& f, int iterations = 50, int warmup = 10) {
  const cudaStream_t stream = hypersd::detail::CudaContext::current().stream();
  cudaEvent_t begin = nullptr, end = nullptr;
  hypersd::detail::cuda_check(cudaEventCreate(&begin), "cudaEventCreate");
  hypersd::detail::cuda_check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<double> times;
  for (int i = 0; i < warmup + iterations; ++i) {
    hypersd::detail::cuda_check(cudaEventRecord(begin, stream), "cudaEventRecord");
    f();
    hypersd::detail::cuda_check(cudaEventRecord(end, stream), "cudaEventRecord");
    hypersd::detail::cuda_check(cudaEventSynchronize(end), "cudaEventSynchronize");
    float ms = 0;
    hypersd::detail::cuda_check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
    if (i >= warmup) times.push_back(static_cast<double>(ms));
  }
  (void)cudaEventDestroy(begin);
  (void)cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Bytes per millisecond of a device-to-device copy of `bytes`; reads and writes both count.
inline double copy_bandwidth(std::size_t bytes) {
  using Memory = hypersd::Memory<hypersd::Cuda>;
  const auto from = Memory::allocate(bytes), to = Memory::allocate(bytes);
  hypersd::detail::cuda_check(cudaMemsetAsync(from.get(), 0, bytes, hypersd::detail::CudaContext::current().stream()),
                              "cudaMemsetAsync");
  return 2.0 * static_cast<double>(bytes) / milliseconds([&] { Memory::copy(to.get(), from.get(), bytes); });
}

/// One figure and its limit, measured in the same run: a copy of as many bytes, or a direct call of a library.
inline void print(const char* name, double ms, const char* limit, double limit_ms) {
  std::printf("{\"name\": \"%s\", \"ms\": %.5f, \"limit\": \"%s\", \"limit_ms\": %.5f}\n", name, ms, limit, limit_ms);
  std::fflush(stdout);
}

}  // namespace bench
