// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <fake_cuda/fake_cuda.hpp>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

/// One thing in a graph: what is done when the graph is launched.
struct CUgraphNode_st {
  cudaGraphNodeType type;
  std::function<cudaError_t()> run;
};
struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;
  std::vector<const char*> allocated;  ///< by its nodes
};
struct CUgraphExec_st {
  std::vector<std::function<cudaError_t()>> work;
  std::vector<const char*> allocated;
  bool frees = false;  ///< at each launch, what the one before has left
};
struct CUstream_st {
  CUgraph_st* capture = nullptr;
  bool invalid = false;  ///< a call has broken the capture
};
struct CUevent_st {
  std::int64_t work = 0;  ///< kernels, products, convolutions and copies before it
};

namespace fake_cuda {

struct Free {
  void operator()(char* p) const { std::free(p); }
};
struct Block {
  std::unique_ptr<char[], Free> bytes;  ///< null while graph memory is not allocated by a launch
  std::size_t size = 0;
  bool live = false;
  bool graph = false;
  std::shared_ptr<void> uses;  ///< by kernels: whatever watches for races keeps it here
};

struct State {
  Device device;
  Counts counts;
  std::vector<std::string> kernels, faults;
  std::map<std::string, Metered> metered;
  std::string failing;
  cudaError_t last = cudaSuccess;     ///< what cudaGetLastError says
  cudaError_t pending = cudaSuccess;  ///< of a kernel, told at the next wait
  std::unordered_map<const void*, std::string> names;
  std::map<const char*, Block> blocks;       ///< by device address; addresses are not used twice
  std::map<std::size_t, std::int64_t> free;  ///< blocks that the pool keeps, by size: fits only the same size
  std::size_t used = 0, kept = 0;            ///< bytes
  CUstream_st ordinary;                      ///< streams 0, legacy and per thread
  CUstream_st* capturing = nullptr;          ///< the stream that this thread captures
  std::int64_t objects = 0;
};
State& state();

/// Records `status` as the last error and returns it.
cudaError_t result(cudaError_t status);
/// The same with a fault.
cudaError_t refuse(cudaError_t status, const std::string& fault);
CUstream_st& at(cudaStream_t stream);
/// A fault, and the capture is broken, if this thread captures: for what a capture does not allow.
bool breaks_capture(const char* call);
/// Runs `work` now, or adds it to the graph that `stream` captures.
cudaError_t enqueue(cudaStream_t stream, cudaGraphNodeType type, std::function<cudaError_t()> work);
/// Host memory behind `n` bytes of device memory; null where they are not allocated.
char* behind(const void* device, std::size_t n);
/// What a launch does on a device that runs kernels. Reads the arguments at once. Throws std::runtime_error where the
/// program has no readable code for it.
std::function<cudaError_t()> running(const void* kernel, dim3 grid, dim3 block, void** arguments, std::size_t shared);
/// Remembers which binary has the code of a kernel, and its name there.
void remember(const void* kernel, const void* binary, const char* name);
/// Shared memory that launches of a kernel may ask for on top of 48 KiB.
void allow_shared(const void* kernel, std::size_t bytes);
bool is_device(const void* p);

}  // namespace fake_cuda
