// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/core/half.hpp>
#include <type_traits>

namespace hypersd {

/// Element types a tensor can hold.
template <class T>
concept Scalar =
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bfloat16> || std::same_as<T, half> ||
    std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> || std::same_as<T, std::uint8_t>;

/// Element types of arithmetic.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// Element types of 16 bits: storage only. Operations load them as float, compute in float, and round once to store.
template <class T>
concept Narrow = std::same_as<T, bfloat16> || std::same_as<T, half>;

/// Element types a network can be made of.
template <class T>
concept Floating = Real<T> || Narrow<T>;

/// Type of computations and sums over elements of type T: float for 16-bit types, else T. Also the type of numbers that
/// accompany a tensor: factors, times, statistics.
template <class T>
using Accumulator = std::conditional_t<Narrow<T>, float, T>;

/// An element converted to the type of computations.
template <class T>
HYPERSD_HD constexpr Accumulator<T> widened(T x) {
  return x;
}

/// x as an element of type `To`: rounded to nearest even towards 16-bit types (from float), truncated towards integers.
template <class To, class From>
HYPERSD_HD constexpr To converted(From x) {
  if constexpr (std::same_as<To, From>)
    return x;
  else if constexpr (Narrow<To>)
    return To(static_cast<float>(x));
  else
    return static_cast<To>(widened(x));
}

}  // namespace hypersd
