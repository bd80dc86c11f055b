// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
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

/// The device's stream-ordered pool.
inline cudaMemPool_t memory_pool() {
  int device = 0;
  cuda_check(cudaGetDevice(&device), "cudaGetDevice");
  cudaMemPool_t pool = nullptr;
  cuda_check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
  return pool;
}

/// Configures the pool to cache freed blocks instead of releasing them to the driver.
inline void keep_pooled_memory() {
  static const bool once = [] {
    std::uint64_t threshold = UINT64_MAX;
    cuda_check(cudaMemPoolSetAttribute(memory_pool(), cudaMemPoolAttrReleaseThreshold, &threshold),
               "cudaMemPoolSetAttribute");
    return true;
  }();
  (void)once;
}

/// Throws DeviceError that names `what` and the free, total and cached memory.
[[noreturn]] inline void fail_out_of_memory(const std::string& what) {
  (void)cudaGetLastError();
  std::size_t free = 0, total = 0;
  std::uint64_t reserved = 0, used = 0;
  (void)cudaMemGetInfo(&free, &total);
  const cudaMemPool_t pool = memory_pool();
  (void)cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved);
  (void)cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used);
  fail<DeviceError>("out of GPU memory: ", what, "; ", free, " of ", total, " bytes free on the device, ", reserved,
                    " bytes pooled, ", used, " of them in use");
}

/// Frees a block in stream order. Memory that a graph's work allocates lives as long as the graph; memory that it frees
/// but did not allocate is kept until the graph is destroyed.
struct CudaFree {
  cudaStream_t stream;
  std::shared_ptr<CapturedGraph> graph{};  ///< in whose work the block was allocated, or null

  void operator()(void* p) const noexcept {
    CapturedGraph* now = current_capture();
    if (now && graph.get() != now) {
      now->kept.emplace_back(p, *this);
    } else if (now) {
      (void)cudaFreeAsync(p, stream);
      std::erase(now->left, p);
    } else if (!graph) {
      (void)cudaFreeAsync(p, stream);
    }
  }
};

}  // namespace detail

/// Device memory from the stream-ordered pool, which is thread-safe. Blocks are freed in order of the stream of the
/// thread that allocated them: before another thread drops the last handle, synchronize.
template <std::derived_from<Cuda> D>
struct Memory<D> {
  using Space = Cuda;  ///< the memory's kind: the same for all tags that share it

  /// If memory runs out, releases the cached memory and tries once more, then throws DeviceError with the requested,
  /// free and cached bytes. The program may continue with smaller tensors.
  static std::shared_ptr<void> allocate(std::size_t bytes) {
    if (bytes == 0) return {};
    const cudaStream_t stream = detail::CudaContext::current().stream();
    detail::keep_pooled_memory();
    const auto graph = detail::current_capture() ? detail::current_capture()->shared_from_this() : nullptr;
    void* p = nullptr;
    cudaError_t status = cudaMallocAsync(&p, bytes, stream);
    if (status == cudaErrorMemoryAllocation && !graph) {
      (void)cudaGetLastError();
      release_pool();
      status = cudaMallocAsync(&p, bytes, stream);
    }
    if (status == cudaErrorMemoryAllocation) detail::fail_out_of_memory(std::to_string(bytes) + " bytes asked");
    detail::cuda_check(status, "cudaMallocAsync");
    if (graph) graph->left.push_back(p);
    return {p, detail::CudaFree{stream, graph}};
  }
  static void copy_from_host(void* to, const void* from, std::size_t bytes) {
    if (bytes == 0) return;
    auto& context = detail::CudaContext::current();
    context.require_eager("copy from host", "reads host memory");
    ++context.counts().uploads;
    transfer(to, from, bytes, cudaMemcpyHostToDevice);
  }
  /// Synchronizes: the host may read when the call returns.
  static void copy_to_host(void* to, const void* from, std::size_t bytes) {
    auto& context = detail::CudaContext::current();
    context.require_eager("copy to host", "waits for the GPU");
    if (bytes != 0) ++context.counts().downloads;
    transfer(to, from, bytes, cudaMemcpyDeviceToHost);
    context.synchronise("copy to host");
  }
  static void copy(void* to, const void* from, std::size_t bytes) {
    transfer(to, from, bytes, cudaMemcpyDeviceToDevice);
  }
  template <class T>
  static void fill(T* data, T value, std::int64_t n) {
    if (n == 0) return;
    const std::int64_t blocks = std::min<std::int64_t>((n + 255) / 256, 65536);
    detail::launch("fill", {static_cast<unsigned>(blocks), 256}, detail::fill_kernel<T>, data, value, n);
  }
  /// Releases cached blocks, and memory of graphs that is not in use, to the driver. Synchronizes.
  static void release_pool() {
    detail::CudaContext::current().synchronise("release_pool");
    detail::cuda_check(cudaMemPoolTrimTo(detail::memory_pool(), 0), "cudaMemPoolTrimTo");
    int device = 0;
    detail::cuda_check(cudaGetDevice(&device), "cudaGetDevice");
    detail::cuda_check(cudaDeviceGraphMemTrim(device), "cudaDeviceGraphMemTrim");
  }

 private:
  static void transfer(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    detail::cuda_check(cudaMemcpyAsync(to, from, bytes, kind, detail::CudaContext::current().stream()), "copy");
  }
};

}  // namespace hypersd
