// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <hypersd/core/device.hpp>
#include <hypersd/core/error.hpp>
#include <hypersd/core/large_blocks.hpp>
#include <memory>
#include <mutex>
#include <vector>

namespace hypersd {

namespace detail {

/// Caches freed blocks, small ones by size class: page faults of fresh memory cost more than most kernels. Thread-safe.
class CpuPool {
 public:
  static CpuPool& instance() {
    static CpuPool* pool = new CpuPool;  // never destroyed: tensors may have static lifetime
    return *pool;
  }

  /// Blocks from this size on are parts of segments; none where a sanitizer watches the ends of each block.
#if defined(__SANITIZE_ADDRESS__)
  static constexpr std::size_t large = SIZE_MAX;
#else
  static constexpr std::size_t large = LargeBlocks::least;
#endif

  /// Four classes for each power of two, so at most 25 % are wasted; large blocks have none.
  static std::size_t rounded(std::size_t bytes) {
    if (bytes <= 256) return 256;
    if (bytes >= large) return bytes;
    const std::size_t step = std::bit_floor(bytes - 1) / 4;
    return (bytes + step - 1) / step * step;
  }

  void* take(std::size_t size) {
    if (size >= large) return large_.take(size);
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
    misses_.fetch_add(1, std::memory_order_relaxed);
    return p;
  }
  void give(void* p, std::size_t size) noexcept {
    if (size >= large) return large_.give(p);
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
    large_.release();
  }
  /// Bytes of small blocks that nothing uses.
  [[nodiscard]] std::size_t pooled() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return pooled_;
  }
  /// How often memory came from the system so far.
  [[nodiscard]] std::size_t misses() { return misses_.load(std::memory_order_relaxed) + large_.segments(); }

 private:
  struct Bin {
    std::size_t size;
    std::vector<void*> blocks;
  };
  std::mutex mutex_;
  std::vector<Bin> bins_;
  std::size_t pooled_ = 0;
  std::atomic<std::size_t> misses_ = 0;
  LargeBlocks large_;
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
