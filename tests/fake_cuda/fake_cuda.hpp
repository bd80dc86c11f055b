// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// \file
/// A stand-in for the CUDA runtime, cuBLAS and cuDNN, linked in their place, so that the host side of the CUDA backend
/// runs on a machine without a GPU: what it launches, copies, waits for, allocates and records in graphs. Copies and
/// memsets are done. Kernels and products are only written down, and memory begins as zeros, or
/// (`Device::runs_kernels`) they are executed, kernels from the PTX in the program, and memory begins as NaN.
/// Convolutions of cuDNN are only written down. Device pointers cannot be read by the host. For one thread at a time.

namespace fake_cuda {

/// The device that programs see.
struct Device {
  bool present = true;
  int major = 9, minor = 0;
  std::size_t memory = std::size_t{80} << 30;
  bool runs_program = true;  ///< whether the program holds code for it
  /// Whether kernels and products are executed. At first, whether FAKE_CUDA_RUNS_KERNELS is in the environment.
  bool runs_kernels = false;
  /// Whether blocks, warps and threads of a kernel run in the other order. At first, whether FAKE_CUDA_BACKWARD is
  /// there.
  bool backward = false;
  bool meters = false;  ///< whether `metered()` is kept of executed kernels; slow
};
Device& device();

/// What warps have asked of one kind of memory.
struct Traffic {
  std::int64_t requests = 0;  ///< instructions of a warp
  std::int64_t moved = 0;     ///< sectors of 32 bytes of global memory; turns of the banks of shared memory
  std::int64_t least = 0;     ///< as many as would do for what was asked, in other places
};
/// What a kernel has done since `reset()`.
struct Metered {
  std::int64_t instructions = 0;  ///< of PTX, by all threads
  Traffic reads, writes, shared;
};
/// By the kernel's name, demangled.
const std::map<std::string, Metered>& metered();

/// Calls since `reset()`. What is recorded in a graph counts when the graph is launched.
struct Counts {
  std::int64_t kernels = 0, products = 0, convolutions = 0, graphs = 0, synchronisations = 0, allocations = 0;
  std::int64_t copies = 0, uploads = 0, downloads = 0;  ///< on the device, from and to the host
};
Counts counts();

/// Names of the kernels run since `reset()`, demangled.
const std::vector<std::string>& kernels();

/// What a real run would refuse, lose or compute wrongly, since `reset()`: calls on memory that is not allocated,
/// launches out of bounds, and in a capture waits, host copies, work on other streams, frees of memory from outside.
const std::vector<std::string>& faults();

/// Forgets counts, names, faults and errors; memory stays.
void reset();

/// Blocks of device memory in use, graph memory included, and bytes that the pool holds.
std::int64_t blocks();
std::size_t pooled();

/// Streams, events, graphs, instantiated graphs and cuBLAS objects that exist.
std::int64_t objects();

/// Kernels whose name contains `part` fail, as errors in kernels do: at the next call that waits. None if empty.
void fail_kernels(std::string part);

}  // namespace fake_cuda
