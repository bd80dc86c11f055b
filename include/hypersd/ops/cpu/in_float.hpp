// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>

/// \file
/// 16-bit tensors on the host. CPUs compute in float, so an operation with a vectorised loop of its own runs on float
/// copies and its result is rounded once; maps, sums and products, which kernels of other devices lean on, load and
/// round element by element instead.

namespace hypersd::ops::detail {

/// True where an operation on tensors of T runs on float copies.
template <class T, class D>
inline constexpr bool in_float = Narrow<T>&& std::derived_from<D, Cpu>;

/// A float copy; undefined stays undefined.
template <class T, class D>
Tensor<float, D> wide(const Tensor<T, D>& t) {
  return t.defined() ? cast<float>(t) : Tensor<float, D>{};
}

}  // namespace hypersd::ops::detail
