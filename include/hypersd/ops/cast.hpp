// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/map.hpp>

namespace hypersd::ops {

/// Elements converted to `U`: rounded to nearest even for 16-bit types, truncated for integers. If U is T, the result
/// shares the storage of `t`.
template <Scalar U, class T, class D>
Tensor<U, D> cast(const Tensor<T, D>& t) {
  if constexpr (std::same_as<T, U>) {
    return t;
  } else {
    Tensor<U, D> out(t.shape());
    map_into(out, Identity{}, t);
    return out;
  }
}

}  // namespace hypersd::ops
