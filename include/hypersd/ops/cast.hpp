// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/elements.hpp>
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

/// The elements as float, exactly.
inline Tensor<float, Cpu> widen(const NarrowTensor& t) {
  Tensor<float, Cpu> out(t.shape());
  const backend::Elements<float> elements(t);
  parallel_for(t.size(), 65536, [&](std::int64_t begin, std::int64_t end) {
    elements.from(begin).copy(end - begin, out.data() + begin);
  });
  return out;
}

}  // namespace hypersd::ops
