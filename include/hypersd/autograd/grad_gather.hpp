// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/variable.hpp>
#include <hypersd/ops/gather.hpp>

namespace hypersd::autograd {

/// Rows of a trainable table [V, C] by number: ids [B, L] -> [B, L, C].
template <class T, class D>
Var<T, D> embedding(const Var<T, D>& table, const Tensor<std::int32_t, D>& ids) {
  return make_result<T, D>(ops::gather_rows(table.value(), ids), {table}, [table, ids](const Tensor<T, D>& g) {
    table.accumulate(ops::scatter_add_rows(g, ids, table.shape()));
  });
}

}  // namespace hypersd::autograd
