// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/gather.hpp>

namespace hypersd::autograd {

/// Differentiable `ops::embedding`: row ids[b, l] of `table` [V, C]; ids [B, L] (any shape) in [0, V) -> [B, L, C].
template <class T, class D>
Var<T, D> embedding(const Var<T, D>& table, const Tensor<std::int32_t, D>& ids) {
  return make_result<T, D>(
      ops::embedding(table.value(), ids), {table},
      [table, ids](const Tensor<T, D>& g) { table.accumulate(ops::embedding_gradient(g, ids, table.dim(0))); },
      [&] { return ops::embedding(table.tangent(), ids); });
}

/// The same from a constant table of 16 bits, as float.
template <class D>
Var<float, D> embedding(const ConstantTensor& table, const Tensor<std::int32_t, D>& ids) {
  return Var<float, D>(ops::embedding(table, ids));
}

}  // namespace hypersd::autograd
