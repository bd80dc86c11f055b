// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/constant_tensor.hpp>
#include <hypersd/ops/cast.hpp>

/// \file
/// What a layer computes with: a tensor of the type of its input, or a constant as it is stored, or in strips.

namespace hypersd::ops {

/// Whether layers of element type T on device D take a `ConstantTensor` as their weight: float on the CPU.
template <class T, class D>
inline constexpr bool takes_constant = std::same_as<T, float>&& std::derived_from<D, Cpu>;

/// A weight of a layer whose input is a Tensor<T, D>.
template <class W, class T, class D>
concept WeightFor = std::same_as<W, Tensor<T, D>> ||(std::same_as<W, ConstantTensor>&& takes_constant<T, D>);

namespace detail {

/// The argument of a kernel.
template <class T, class D>
const T* elements(const Tensor<T, D>& w) {
  return w.data();
}
inline backend::Elements<float> elements(const ConstantTensor& w) { return backend::Elements<float>(w); }

}  // namespace detail

}  // namespace hypersd::ops
