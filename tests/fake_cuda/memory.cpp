// SPDX-License-Identifier: Apache-2.0
// Device memory: addresses that the host cannot read, the pool, copies and memsets.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fake_cuda/state.hpp>

namespace fake_cuda {

namespace {

constexpr std::size_t space = std::size_t{1} << 42;

const char* base() {
  static void* p = mmap(nullptr, space, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) std::abort();  // a limit on address space
  return static_cast<const char*>(p);
}

/// An address of its own for `size` bytes.
const char* reserve(std::size_t size) {
  static std::size_t next = 0;
  const char* out = base() + next;
  next += (size + 511) / 256 * 256;  // a gap after each block
  return out;
}

/// Takes a block's bytes from the pool.
cudaError_t take(Block& b) {
  State& s = state();
  const auto kept = s.free.find(b.size);
  if (kept != s.free.end() && kept->second > 0) {
    --kept->second;
    s.kept -= b.size;
  } else if (s.used + s.kept + b.size > s.device.memory) {
    return cudaErrorMemoryAllocation;
  }
  // Costs what is used of it.
  b.bytes.reset(static_cast<char*>(std::calloc(std::max<std::size_t>(b.size, 1), 1)));
  if (!b.bytes) return cudaErrorMemoryAllocation;
  s.used += b.size;
  if (s.device.runs_kernels) std::memset(b.bytes.get(), 0xff, b.size);
  b.live = true;
  ++s.counts.allocations;
  return cudaSuccess;
}

void give(Block& b) {
  State& s = state();
  s.used -= b.size;
  s.kept += b.size;
  ++s.free[b.size];
  b.bytes.reset();
  b.uses.reset();
  b.live = false;
}

cudaError_t free_now(const char* p) {
  const auto found = state().blocks.find(p);
  if (found == state().blocks.end() || !found->second.live)
    return refuse(cudaErrorInvalidValue, "free of memory that is not allocated");
  give(found->second);
  return cudaSuccess;
}

cudaError_t set_rows(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height) {
  for (std::size_t row = 0; row < height; ++row) {
    char* p = behind(static_cast<const char*>(to) + row * pitch, width);
    if (!p) return refuse(cudaErrorInvalidValue, "memset of memory that is not allocated");
    std::memset(p, value, width);
  }
  return cudaSuccess;
}

cudaError_t copy_now(void* to, const void* from, std::size_t n) {
  State& s = state();
  char* d = is_device(to) ? behind(to, n) : static_cast<char*>(to);
  const char* h = is_device(from) ? behind(from, n) : static_cast<const char*>(from);
  if (!d || !h) return refuse(cudaErrorInvalidValue, "copy of memory that is not allocated");
  ++(!is_device(from) ? s.counts.uploads : is_device(to) ? s.counts.copies : s.counts.downloads);
  std::memmove(d, h, n);
  return cudaSuccess;
}

}  // namespace

bool is_device(const void* p) {
  const auto a = reinterpret_cast<std::uintptr_t>(p), b = reinterpret_cast<std::uintptr_t>(base());
  return a >= b && a < b + space;
}
char* behind(const void* device, std::size_t n) {
  const auto* p = static_cast<const char*>(device);
  auto found = state().blocks.upper_bound(p);
  if (found == state().blocks.begin()) return nullptr;
  --found;
  const auto offset = static_cast<std::size_t>(p - found->first);
  const Block& b = found->second;
  return b.live && offset + n <= b.size ? b.bytes.get() + offset : nullptr;
}
std::int64_t blocks() {
  std::int64_t n = 0;
  for (const auto& [address, b] : state().blocks) n += b.live ? 1 : 0;
  return n;
}
std::size_t pooled() { return state().kept; }

}  // namespace fake_cuda

using namespace fake_cuda;

extern "C" {

cudaError_t cudaMallocAsync(void** out, std::size_t size, cudaStream_t stream) {
  State& s = state();
  CUstream_st& on = at(stream);
  if (s.capturing && !on.capture) s.faults.emplace_back("allocation on another stream in a capture");
  Block block;
  block.size = size;
  block.graph = on.capture != nullptr;
  if (!on.capture) {
    const cudaError_t status = take(block);
    if (status != cudaSuccess) return result(status);
  }
  const char* p = reserve(size);
  s.blocks[p] = std::move(block);
  *out = const_cast<char*>(p);
  if (!on.capture) return cudaSuccess;
  on.capture->allocated.push_back(p);
  return enqueue(stream, cudaGraphNodeTypeMemAlloc, [p] { return take(state().blocks[p]); });
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  CUstream_st& on = at(stream);
  const auto* address = static_cast<const char*>(p);
  if (!on.capture) return enqueue(stream, cudaGraphNodeTypeMemFree, [address] { return free_now(address); });
  if (std::erase(on.capture->allocated, address) == 0) {
    on.invalid = true;
    return refuse(cudaErrorInvalidValue, "free in a capture of memory from outside");
  }
  return enqueue(stream, cudaGraphNodeTypeMemFree, [address] { return free_now(address); });
}
cudaError_t cudaMalloc(void** out, std::size_t size) {
  if (breaks_capture("cudaMalloc")) return cudaErrorStreamCaptureUnsupported;
  return cudaMallocAsync(out, size, nullptr);
}
cudaError_t cudaFree(void* p) {
  if (breaks_capture("cudaFree")) return cudaErrorStreamCaptureUnsupported;
  return p ? result(free_now(static_cast<const char*>(p))) : cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t n, cudaMemcpyKind kind, cudaStream_t stream) {
  const bool up = kind == cudaMemcpyHostToDevice, down = kind == cudaMemcpyDeviceToHost;
  if (is_device(to) == down || is_device(from) == up)
    return refuse(cudaErrorInvalidValue, "copy whose direction is not that of its pointers");
  if ((up || down) && breaks_capture("copy between host and device")) return cudaErrorStreamCaptureUnsupported;
  return enqueue(stream, cudaGraphNodeTypeMemcpy, [=] { return copy_now(to, from, n); });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t n, cudaMemcpyKind kind) {
  ++state().counts.synchronisations;
  if (breaks_capture("cudaMemcpy")) return cudaErrorStreamCaptureUnsupported;
  return cudaMemcpyAsync(to, from, n, kind, nullptr);
}
cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream) {
  return enqueue(stream, cudaGraphNodeTypeMemset, [=] { return set_rows(to, pitch, value, width, height); });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t n, cudaStream_t stream) {
  return cudaMemset2DAsync(to, n, value, n, 1, stream);
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = reinterpret_cast<cudaMemPool_t>(&state());
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr what, void* value) {
  const State& s = state();
  *static_cast<std::uint64_t*>(value) = what == cudaMemPoolAttrUsedMemCurrent ? s.used : s.used + s.kept;
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  if (breaks_capture("cudaMemPoolTrimTo")) return cudaErrorStreamCaptureUnsupported;
  state().free.clear();
  state().kept = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGraphMemTrim(int) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const State& s = state();
  *total = s.device.memory;
  *free = s.device.memory - s.used - s.kept;
  return cudaSuccess;
}

}  // extern "C"
