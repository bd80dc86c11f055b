// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/half.hpp>

namespace hypersd {

/// Host memory and host threads.
struct Cpu {
  static constexpr const char* name = "cpu";
};

/// One CUDA stream. Work on tensors of this device is enqueued and returns at once.
struct Cuda {
  static constexpr const char* name = "cuda";
};

/// Where a tensor lives: `Cpu`, `Cuda`, or a tag derived from one of them that overloads some operations.
template <class D>
concept Device = std::derived_from<D, Cpu> || std::derived_from<D, Cuda>;

/// Element types a tensor can hold.
template <class T>
concept Scalar = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bfloat16> ||
                 std::same_as<T, half> || std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> ||
                 std::same_as<T, std::uint8_t>;

/// Element types that arithmetic is done in.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

}  // namespace hypersd
