// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/compact.hpp>
#include <hypersd/ops/gather.hpp>
#include <limits>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/compact.cuh>
#endif

/// \file
/// Compaction: the elements that a mask selects, in their order.

namespace hypersd::ops {

/// Result of `select`: a number of indices that only the device knows.
template <class D>
struct Selection {
  Tensor<std::int32_t, D> indices;  ///< [N]; -1 from `count` on
  Tensor<std::int32_t, D> count;    ///< [1]
};

/// Indices of the elements of mask [N] that are not 0, in ascending order. Does not synchronize. Throws ShapeError
/// unless the mask has one axis, or for 2^31 elements and more.
template <class D>
Selection<D> select(const Tensor<std::uint8_t, D>& mask) {
  require<ShapeError>(mask.rank() == 1, "select: a mask of shape ", mask.shape(), ", not [N]");
  require<ShapeError>(mask.size() <= std::numeric_limits<std::int32_t>::max(), "select: a mask of ", mask.size(),
                      " elements, more than 2^31 - 1");
  Selection<D> out{Tensor<std::int32_t, D>::full(mask.shape(), -1), Tensor<std::int32_t, D>::zeros(Shape{1})};
  if (mask.size() > 0) backend::select(D{}, mask.size(), mask.data(), out.indices.data(), out.count.data());
  return out;
}

/// The same as a tensor [count]. Synchronizes, since the host needs the count.
template <class D>
Tensor<std::int32_t, D> selected_indices(const Tensor<std::uint8_t, D>& mask) {
  const Selection<D> all = select(mask);
  return all.indices.slice(0, all.count.item());
}

/// The rows of x [N, ...] whose element of mask [N] is not 0, in their order: [count, ...]. Synchronizes. Throws
/// ShapeError.
template <Scalar T, class D>
Tensor<T, D> copy_if(const Tensor<T, D>& x, const Tensor<std::uint8_t, D>& mask) {
  require<ShapeError>(x.rank() > 0 && mask.shape() == Shape{x.dim(0)}, "copy_if: ", x.shape(), " with a mask of shape ",
                      mask.shape());
  const auto indices = selected_indices(mask);
  const std::int64_t cols = x.shape().numel_from(1);
  return embedding(x.reshape(Shape{x.dim(0), cols}), indices).reshape(x.shape().with(0, indices.size()));
}

}  // namespace hypersd::ops
