// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/core/scalar.hpp>

namespace hypersd {

/// Host memory and host threads.
struct Cpu {
  static constexpr const char* name = "cpu";
};

/// The calling thread's CUDA stream. Operations are enqueued on it; calls return before the GPU has finished.
struct Cuda {
  static constexpr const char* name = "cuda";
};

/// Where a tensor lives: `Cpu`, `Cuda`, or a tag derived from one of them that overloads some operations.
template <class D>
concept Device = std::derived_from<D, Cpu> || std::derived_from<D, Cuda>;

}  // namespace hypersd
