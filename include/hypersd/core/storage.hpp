// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/device.hpp>

namespace hypersd {

/// Memory of a device. Specialised for devices derived from `Cpu` (storage_cpu.hpp) and, under nvcc, `Cuda`
/// (storage_cuda.cuh): `allocate(bytes)` -> shared_ptr<void>, `copy_*`, `fill`.
template <class D>
struct Memory {
  static_assert(!std::derived_from<D, Cuda>, "Cuda tensors need a CUDA translation unit: compile this file with nvcc");
};

}  // namespace hypersd
