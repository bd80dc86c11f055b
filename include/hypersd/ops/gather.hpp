// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/gather.hpp>
#include <hypersd/ops/cpu/in_float.hpp>
#include <hypersd/ops/weight.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/gather.hpp>
#include <hypersd/ops/cuda/kernels.cuh>
#endif

namespace hypersd::ops {

namespace detail {

template <class T, class W, class D>
Tensor<T, D> embedding(const W& table, const Tensor<std::int32_t, D>& ids) {
  require<ShapeError>(table.rank() == 2 && ids.rank() < Shape::max_rank, "embedding: table ", table.shape(), ", ids ",
                      ids.shape());
  Shape shape = ids.shape();
  shape.push_back(table.dim(1));
  Tensor<T, D> out(shape);
  if (out.size() > 0)
    backend::embedding(D{}, elements(table), table.dim(0), table.dim(1), ids.data(), ids.size(), out.data());
  return out;
}

}  // namespace detail

/// Rows of `table` [V, C] by index: ids [...] -> [..., C]. An id out of range [0, V) throws OptionError on the CPU and
/// gives a row of zeros on a GPU. Throws ShapeError.
template <class T, class D>
Tensor<T, D> embedding(const Tensor<T, D>& table, const Tensor<std::int32_t, D>& ids) {
  return detail::embedding<T>(table, ids);
}
/// The same from a constant table, as float.
template <std::derived_from<Cpu> D>
Tensor<float, D> embedding(const ConstantTensor& table, const Tensor<std::int32_t, D>& ids) {
  if (table.strip() > 0) return detail::embedding<float>(widen(table).template to<D>(), ids);
  return detail::embedding<float>(table, ids);
}

/// Gradient of `embedding` with respect to its table [rows, C]: row v is the sum of the rows of `g` [..., C] whose id
/// is v, in the order of the ids. Throws ShapeError.
template <class T, class D>
Tensor<T, D> embedding_gradient(const Tensor<T, D>& g, const Tensor<std::int32_t, D>& ids, std::int64_t rows) {
  const std::int64_t cols = g.rank() > 0 ? g.dim(-1) : 0;
  require<ShapeError>(g.size() == ids.size() * cols, "embedding_gradient: gradient ", g.shape(), ", ids ", ids.shape());
  if constexpr (detail::in_float<T, D>) {
    return cast<T>(embedding_gradient(detail::wide(g), ids, rows));
  } else {
    Tensor<T, D> out(Shape{rows, cols});
    if (out.size() > 0) backend::embedding_gradient(D{}, g.data(), rows, cols, ids.data(), ids.size(), out.data());
    return out;
  }
}

}  // namespace hypersd::ops
