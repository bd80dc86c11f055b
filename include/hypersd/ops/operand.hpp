// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>

/// \file
/// Operands of element-wise operations: tensors of the result's shape and broadcast ones. The result is viewed as a
/// matrix [rows, cols]; an operand gives its elements of a row. Trivially copyable, so that they are kernel arguments.

namespace hypersd::ops {

/// A tensor of the result's own shape.
template <class T>
struct FullOperand {
  const T* data;
  HYPERSD_HD const T* row(std::int64_t r, std::int64_t cols) const { return data + r * cols; }
};

/// One value for each run of `rows_per` rows: a [B] tensor over [B, ...].
template <class T>
struct RowOperand {
  const T* data;
  std::int64_t rows_per;
  /// A row: the same value in each column.
  struct Cursor {
    T value;
    HYPERSD_HD T operator[](std::int64_t) const { return value; }
  };
  HYPERSD_HD Cursor row(std::int64_t r, std::int64_t) const { return {data[r / rows_per]}; }
};

/// A row of `cols` values for each run of `rows_per` rows: a [B, C] tensor over [B, H, W, C], or a [C] tensor.
template <class T>
struct ColumnOperand {
  const T* data;
  std::int64_t rows_per;
  HYPERSD_HD const T* row(std::int64_t r, std::int64_t cols) const { return data + (r / rows_per) * cols; }
};

/// How a tensor is broadcast.
enum class Broadcast { row, column, single };

/// A tensor marked for broadcasting by `per_sample`, `per_channel` or `everywhere`.
template <class Handle, Broadcast kind>
struct Broadcasted {
  Handle tensor;
};

/// One value for the whole result.
template <class T>
struct SingleOperand {
  const T* data;
  HYPERSD_HD typename RowOperand<T>::Cursor row(std::int64_t, std::int64_t) const { return {*data}; }
};

/// One value, a [1] tensor, for the whole result.
template <class Handle>
Broadcasted<Handle, Broadcast::single> everywhere(const Handle& t) {
  return {t};
}
/// [B] values, one for each sample of a [B, ...] result.
template <class Handle>
Broadcasted<Handle, Broadcast::row> per_sample(const Handle& t) {
  return {t};
}
/// [C] values along the last axis of the result, or [B, C] values: row b for all positions of sample b.
template <class Handle>
Broadcasted<Handle, Broadcast::column> per_channel(const Handle& t) {
  return {t};
}

namespace detail {

template <class X>
struct OperandTraits;
template <class T, class D>
struct OperandTraits<Tensor<T, D>> {
  using value_type = T;
  static constexpr bool full = true, row = false, column = false;
  static const Tensor<T, D>& tensor(const Tensor<T, D>& t) { return t; }
};
template <class T, class D, Broadcast kind>
struct OperandTraits<Broadcasted<Tensor<T, D>, kind>> {
  using value_type = T;
  static constexpr bool full = false, row = kind == Broadcast::row, column = kind == Broadcast::column;
  static const Tensor<T, D>& tensor(const Broadcasted<Tensor<T, D>, kind>& b) { return b.tensor; }
};

/// The matrix view of a result.
struct Layout {
  std::int64_t rows, cols;
};

/// Columns are the last axis as soon as one operand runs along it; else rows are samples; else all is one row.
template <class... X>
Layout layout_of(const Shape& out) {
  constexpr bool column = (OperandTraits<X>::column || ...);
  constexpr bool row = (OperandTraits<X>::row || ...);
  const std::int64_t n = out.numel();
  if (n == 0) return {0, 0};
  if constexpr (column) return {n / out[-1], out[-1]};
  if constexpr (row) return {out[0], n / out[0]};
  return {1, n};
}

template <class T, class D>
FullOperand<T> bind(const Tensor<T, D>& t, const Shape& out, Layout) {
  require_same_shape("map", t.shape(), out);
  return {t.data()};
}
template <class T, class D>
RowOperand<T> bind(const Broadcasted<Tensor<T, D>, Broadcast::row>& b, const Shape& out, Layout layout) {
  const auto& t = b.tensor;
  require<ShapeError>(out.rank() > 0 && t.size() == out[0], "map: per-sample operand of shape ", t.shape(),
                      " over a result of shape ", out);
  return {t.data(), layout.rows / std::max<std::int64_t>(1, out[0])};
}
template <class T, class D>
ColumnOperand<T> bind(const Broadcasted<Tensor<T, D>, Broadcast::column>& b, const Shape& out, Layout layout) {
  const auto& t = b.tensor;
  const bool shared = t.rank() == 1 && t.dim(0) == layout.cols;
  const bool grouped = t.rank() == 2 && t.dim(1) == layout.cols && out.rank() > 1 && t.dim(0) == out[0];
  require<ShapeError>(shared || grouped, "map: per-channel operand of shape ", t.shape(), " over a result of shape ",
                      out);
  return {t.data(), std::max<std::int64_t>(1, shared ? layout.rows : layout.rows / out[0])};
}

template <class T, class D>
SingleOperand<T> bind(const Broadcasted<Tensor<T, D>, Broadcast::single>& b, const Shape&, Layout) {
  require<ShapeError>(b.tensor.size() == 1, "map: single operand of shape ", b.tensor.shape());
  return {b.tensor.data()};
}

}  // namespace detail

}  // namespace hypersd::ops
