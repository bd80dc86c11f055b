// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/narrow_tensor.hpp>
#include <hypersd/ops/cpu/elements.hpp>

/// \file
/// What a layer computes with: a tensor of the type of its input, or one of 16 bits that stays as it is stored.

namespace hypersd::ops {

/// Whether layers of element type T on device D take a `NarrowTensor` as their weight: float on the CPU.
template <class T, class D>
inline constexpr bool takes_narrow = std::same_as<T, float>&& std::derived_from<D, Cpu>;

/// A weight of a layer whose input is a Tensor<T, D>.
template <class W, class T, class D>
concept WeightFor = std::same_as<W, Tensor<T, D>> ||(std::same_as<W, NarrowTensor>&& takes_narrow<T, D>);

namespace detail {

/// The argument of a kernel.
template <class T, class D>
const T* elements(const Tensor<T, D>& w) {
  return w.data();
}
inline backend::Elements<float> elements(const NarrowTensor& w) { return backend::Elements<float>(w); }

}  // namespace detail

}  // namespace hypersd::ops
