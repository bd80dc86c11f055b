// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>

/// \file
/// 16-bit tensors on the host. CPUs compute in float: operations with vectorised loops run on float copies, and the
/// result is rounded once. Maps, sums and matmuls convert element by element.

namespace hypersd::ops::detail {

/// True if an operation on tensors of T runs on float copies.
template <class T, class D>
inline constexpr bool in_float = Narrow<T>&& std::derived_from<D, Cpu>;

/// A float copy; undefined stays undefined.
template <class T, class D>
Tensor<float, D> wide(const Tensor<T, D>& t) {
  return t.defined() ? cast<float>(t) : Tensor<float, D>{};
}

}  // namespace hypersd::ops::detail
