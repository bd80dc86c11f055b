// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <hypersd/core/device.hpp>
#include <hypersd/core/error.hpp>
#include <memory>
#include <mutex>
#include <vector>

namespace hypersd {

namespace detail {

/// Caches freed blocks by size class: page faults of fresh memory cost more than most kernels. Thread-safe.
class CpuPool {
 public:
  static CpuPool& instance() {
    static CpuPool* pool = new CpuPool;  // never destroyed: tensors may have static lifetime
    return *pool;
  }

  /// Four classes for each power of two, so at most 25 % are wasted.
  static std::size_t rounded(std::size_t bytes) {
    if (bytes <= 256) return 256;
    const std::size_t step = std::bit_floor(bytes - 1) / 4;
    return (bytes + step - 1) / step * step;
  }

  void* take(std::size_t size) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (Bin& bin : bins_) {
        if (bin.size == size && !bin.blocks.empty()) {
          void* p = bin.blocks.back();
          bin.blocks.pop_back();
          pooled_ -= size;
          return p;
        }
      }
    }
    const std::size_t aligned = (size + 63) / 64 * 64;
    void* p = std::aligned_alloc(64, aligned);
    if (p == nullptr) {
      release();
      p = std::aligned_alloc(64, aligned);
    }
    if (p == nullptr) fail<DeviceError>("out of memory: ", size, " bytes requested from the CPU");
    return p;
  }
  void give(void* p, std::size_t size) noexcept {
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (Bin& bin : bins_) {
        if (bin.size == size) {
          bin.blocks.push_back(p);
          pooled_ += size;
          return;
        }
      }
      bins_.push_back({size, {p}});
      pooled_ += size;
    } catch (...) {
      std::free(p);
    }
  }
  void release() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (Bin& bin : bins_)
      for (void* p : bin.blocks) std::free(p);
    bins_.clear();
    pooled_ = 0;
  }
  [[nodiscard]] std::size_t pooled() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return pooled_;
  }

 private:
  struct Bin {
    std::size_t size;
    std::vector<void*> blocks;
  };
  std::mutex mutex_;
  std::vector<Bin> bins_;
  std::size_t pooled_ = 0;
};

}  // namespace detail

/// Memory of a device: `allocate(bytes)` -> shared_ptr<void>, `copy_*`, `fill`. Below for devices derived from `Cpu`,
/// in storage_cuda.cuh, under nvcc, for those derived from `Cuda`.
template <class D>
struct Memory {
  static_assert(!std::derived_from<D, Cuda>, "Cuda tensors need a CUDA translation unit: compile this file with nvcc");
};

/// Host memory, 64-byte aligned, recycled by a pool. Thread-safe.
template <std::derived_from<Cpu> D>
struct Memory<D> {
  static std::shared_ptr<void> allocate(std::size_t bytes) {
    if (bytes == 0) return {};
    const std::size_t size = detail::CpuPool::rounded(bytes);
    return {detail::CpuPool::instance().take(size), [size](void* p) { detail::CpuPool::instance().give(p, size); }};
  }
  static void copy_from_host(void* to, const void* from, std::size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);
  }
  static void copy_to_host(void* to, const void* from, std::size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);
  }
  static void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes) std::memcpy(to, from, bytes);
  }
  /// Releases the cached blocks to the system.
  static void release_pool() { detail::CpuPool::instance().release(); }
};

}  // namespace hypersd
