// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/cpu/sort.hpp>
#include <limits>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/sort.cuh>
#endif

/// \file
/// Sorting along the last axis. It is stable: equal elements keep their order, so that the indices, too, are the same
/// on every device. NaN counts as larger than any number (on a GPU a NaN whose sign bit is set counts as smaller).

namespace hypersd::ops {

/// Sorted elements, and the index in its row that each of them had. Both have the same shape.
template <class T, class D>
struct Sorted {
  Tensor<T, D> values;
  Tensor<std::int32_t, D> indices;
};

namespace detail {

inline void require_sortable(const char* op, const Shape& x) {
  require<ShapeError>(x.rank() > 0, op, " of a scalar");
  require<ShapeError>(x.numel() <= std::numeric_limits<std::int32_t>::max(), op, " of shape ", x,
                      ": more than 2^31 - 1 elements");
}

}  // namespace detail

/// x [..., N] sorted along the last axis, stable. Does not synchronize. Throws ShapeError for a scalar or 2^31 elements
/// and more.
template <Scalar T, class D>
Sorted<T, D> sort(const Tensor<T, D>& x, Order order = Order::descending) {
  detail::require_sortable("sort", x.shape());
  if constexpr (Narrow<T>) {
    const auto wide = sort(cast<float>(x), order);
    return {cast<T>(wide.values), wide.indices};
  } else {
    Sorted<T, D> out{Tensor<T, D>(x.shape()), Tensor<std::int32_t, D>(x.shape())};
    const std::int64_t cols = x.dim(-1);
    if (x.size() > 0)
      backend::sort_rows(D{}, order, x.size() / cols, cols, x.data(), out.values.data(), out.indices.data());
    return out;
  }
}

/// The `k` largest elements of each row of x [..., N], in descending order: [..., k], 0 <= k <= N. Of equal elements
/// the first ones are taken. Does not synchronize. Throws ShapeError, also for k out of range.
template <Scalar T, class D>
Sorted<T, D> top_k(const Tensor<T, D>& x, std::int64_t k) {
  detail::require_sortable("top_k", x.shape());
  require<ShapeError>(0 <= k && k <= x.dim(-1), "top_k: ", k, " of the last axis of shape ", x.shape());
  if constexpr (Narrow<T>) {
    const auto wide = top_k(cast<float>(x), k);
    return {cast<T>(wide.values), wide.indices};
  } else {
    const Shape shape = x.shape().with(-1, k);
    Sorted<T, D> out{Tensor<T, D>(shape), Tensor<std::int32_t, D>(shape)};
    const std::int64_t cols = x.dim(-1);
    if (out.values.size() > 0)
      backend::top_k_rows(D{}, x.size() / cols, cols, k, x.data(), out.values.data(), out.indices.data());
    return out;
  }
}

/// 0, 1, ..., n - 1 as [n]: the places of a sorted row, to compare with.
template <Scalar T, class D>
Tensor<T, D> places(std::int64_t n) {
  Tensor<T> out(Shape{n});
  for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(i);
  return out.template to<D>();
}

}  // namespace hypersd::ops
