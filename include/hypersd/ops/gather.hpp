// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/gather_cpu.hpp>
#if HYPERSD_HAS_CUDA && __has_include(<hypersd/ops/gather_cuda.cuh>)
#include <hypersd/ops/gather_cuda.cuh>
#endif

namespace hypersd::ops {

/// Rows of `table` [V, C] (or samples of any [V, ...]) by number: ids [...] -> [ids..., C]. An id outside [0, V) is an
/// OptionError that names it (host tensors; on a device the ids are trusted).
template <class T, class D>
Tensor<T, D> gather_rows(const Tensor<T, D>& table, const Tensor<std::int32_t, D>& ids) {
  require<ShapeError>(table.rank() >= 1, "gather_rows of a scalar");
  Shape shape = ids.shape();
  for (int i = 1; i < table.rank(); ++i) shape.push_back(table.dim(i));
  Tensor<T, D> out(shape);
  backend::gather_rows(D{}, out.data(), table.data(), ids.data(), ids.size(), table.dim(0), table.shape().numel_from(1));
  return out;
}

/// Sum of the rows of g that were gathered from each row of a table of shape `table`: the gradient of `gather_rows`.
template <class T, class D>
Tensor<T, D> scatter_add_rows(const Tensor<T, D>& g, const Tensor<std::int32_t, D>& ids, const Shape& table) {
  auto out = Tensor<T, D>::zeros(table);
  backend::scatter_add_rows(D{}, out.data(), g.data(), ids.data(), ids.size(), table.numel_from(1));
  return out;
}

}  // namespace hypersd::ops
