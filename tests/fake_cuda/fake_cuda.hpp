// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/// \file
/// A stand-in for the CUDA runtime, cuBLAS and cuDNN, linked in their place, so that the host side of the CUDA backend runs on
/// a machine without a GPU: what it launches, copies, waits for, allocates and records in graphs. Copies and memsets
/// are done; kernels, products and convolutions are only written down, and memory begins as zeros. Device pointers cannot be read by
/// the host. For one thread at a time.

namespace fake_cuda {

/// The device that programs see.
struct Device {
  bool present = true;
  int major = 9, minor = 0;
  std::size_t memory = std::size_t{4} << 30;
  bool runs_program = true;  ///< whether the program holds code for it
};
Device& device();

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
