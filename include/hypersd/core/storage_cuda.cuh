// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/context_cuda.cuh>
#include <hypersd/core/storage.hpp>
#include <memory>

namespace hypersd {

namespace detail {

/// Writes `value` to n elements; grid-stride, so any n fits.
template <class T>
__global__ void fill_kernel(T* out, T value, std::int64_t n) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step)
    out[i] = value;
}

/// The device's stream-ordered pool keeps freed blocks instead of returning them to the driver.
inline void keep_pooled_memory() {
  static const bool once = [] {
    int device = 0;
    cuda_check(cudaGetDevice(&device), "cudaGetDevice");
    cudaMemPool_t pool = nullptr;
    cuda_check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
    std::uint64_t threshold = UINT64_MAX;
    cuda_check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold), "cudaMemPoolSetAttribute");
    return true;
  }();
  (void)once;
}

}  // namespace detail

/// Device memory from the stream-ordered pool. Freeing is ordered on the allocating thread's stream too.
template <std::derived_from<Cuda> D>
struct Memory<D> {
  static std::shared_ptr<void> allocate(std::size_t bytes) {
    if (bytes == 0) return {};
    detail::keep_pooled_memory();
    const cudaStream_t stream = detail::CudaContext::current().stream();
    void* p = nullptr;
    cudaError_t status = cudaMallocAsync(&p, bytes, stream);
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      release_pool();
      status = cudaMallocAsync(&p, bytes, stream);
    }
    if (status == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      std::size_t free = 0, total = 0;
      (void)cudaMemGetInfo(&free, &total);
      fail<DeviceError>("out of GPU memory: ", bytes, " bytes asked, ", free, " of ", total, " bytes free");
    }
    detail::cuda_check(status, "cudaMallocAsync");
    return {p, [stream](void* q) { (void)cudaFreeAsync(q, stream); }};
  }
  static void copy_from_host(void* to, const void* from, std::size_t bytes) {
    transfer(to, from, bytes, cudaMemcpyHostToDevice);
  }
  /// Waits for the stream: the host may read at once.
  static void copy_to_host(void* to, const void* from, std::size_t bytes) {
    transfer(to, from, bytes, cudaMemcpyDeviceToHost);
    detail::cuda_check(cudaStreamSynchronize(detail::CudaContext::current().stream()), "copy to host");
  }
  static void copy(void* to, const void* from, std::size_t bytes) {
    transfer(to, from, bytes, cudaMemcpyDeviceToDevice);
  }
  template <class T>
  static void fill(T* data, T value, std::int64_t n) {
    if (n == 0) return;
    const std::int64_t blocks = (n + 255) / 256;
    detail::fill_kernel<<<static_cast<unsigned>(blocks < 65536 ? blocks : 65536), 256, 0,
                          detail::CudaContext::current().stream()>>>(data, value, n);
    detail::cuda_check(cudaGetLastError(), "fill");
  }
  /// Returns pooled blocks to the driver.
  static void release_pool() {
    int device = 0;
    detail::cuda_check(cudaGetDevice(&device), "cudaGetDevice");
    detail::cuda_check(cudaStreamSynchronize(detail::CudaContext::current().stream()), "release_pool");
    cudaMemPool_t pool = nullptr;
    detail::cuda_check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
    detail::cuda_check(cudaMemPoolTrimTo(pool, 0), "cudaMemPoolTrimTo");
  }

 private:
  static void transfer(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    detail::cuda_check(cudaMemcpyAsync(to, from, bytes, kind, detail::CudaContext::current().stream()), "copy");
  }
};

}  // namespace hypersd
