// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <hypersd/ops/copy_cpu.hpp>
#if HYPERSD_HAS_CUDA && __has_include(<hypersd/ops/copy_cuda.cuh>)
#include <hypersd/ops/copy_cuda.cuh>
#endif
#include <span>

namespace hypersd::ops {

/// Copies columns [from, from + cols) of every row of `in` to columns starting at `to` of `out` (last axes).
template <class T, class D>
void copy_channels(const Tensor<T, D>& in, std::int64_t from, const Tensor<T, D>& out, std::int64_t to,
                   std::int64_t cols) {
  const std::int64_t wide_in = in.dim(-1), wide_out = out.dim(-1);
  require<ShapeError>(from >= 0 && to >= 0 && from + cols <= wide_in && to + cols <= wide_out, "copy_channels: ", cols,
                      " channels from ", from, " of ", in.shape(), " to ", to, " of ", out.shape());
  if (in.size() == 0 || out.size() == 0) return;
  require<ShapeError>(in.size() / wide_in == out.size() / wide_out, "copy_channels: ", in.shape(), " and ", out.shape());
  backend::copy_columns(D{}, in.size() / wide_in, cols, in.data() + from, wide_in, out.data() + to, wide_out);
}

/// [..., A] and [..., B] -> [..., A + B].
template <class T, class D>
Tensor<T, D> concat_channels(const Tensor<T, D>& a, const Tensor<T, D>& b) {
  require<ShapeError>(a.rank() > 0 && a.rank() == b.rank() && a.shape().with(-1, 0) == b.shape().with(-1, 0),
                      "concat_channels: ", a.shape(), " and ", b.shape());
  Tensor<T, D> out(a.shape().with(-1, a.dim(-1) + b.dim(-1)));
  copy_channels(a, 0, out, 0, a.dim(-1));
  copy_channels(b, 0, out, a.dim(-1), b.dim(-1));
  return out;
}

/// Channels [begin, end) of the last axis.
template <class T, class D>
Tensor<T, D> slice_channels(const Tensor<T, D>& x, std::int64_t begin, std::int64_t end) {
  require<ShapeError>(x.rank() > 0 && 0 <= begin && begin <= end && end <= x.dim(-1), "slice_channels [", begin, ", ",
                      end, ") of ", x.shape());
  Tensor<T, D> out(x.shape().with(-1, end - begin));
  copy_channels(x, begin, out, 0, end - begin);
  return out;
}

/// [A, ...] and [B, ...] -> [A + B, ...].
template <class T, class D>
Tensor<T, D> concat_batch(const Tensor<T, D>& a, const Tensor<T, D>& b) {
  require<ShapeError>(a.rank() > 0 && a.rank() == b.rank() && a.shape().with(0, 0) == b.shape().with(0, 0),
                      "concat_batch: ", a.shape(), " and ", b.shape());
  Tensor<T, D> out(a.shape().with(0, a.dim(0) + b.dim(0)));
  out.slice(0, a.dim(0)).copy_from(a);
  out.slice(a.dim(0), out.dim(0)).copy_from(b);
  return out;
}

/// Axes in another order: axis i of the result is axis `order[i]` of x.
template <class T, class D>
Tensor<T, D> permute(const Tensor<T, D>& x, std::initializer_list<int> order) {
  const int rank = x.rank();
  require<ShapeError>(static_cast<int>(order.size()) == rank, "permute: ", order.size(), " axes for shape ", x.shape());
  std::array<std::int64_t, Shape::max_rank> strides{}, extents{};
  extents.fill(1);
  Shape shape;
  int at = 0;
  unsigned used = 0;
  for (const int axis : order) {
    require<ShapeError>(axis >= 0 && axis < rank && !(used >> axis & 1U), "permute: axis ", axis, " of ", x.shape());
    used |= 1U << axis;
    shape.push_back(x.dim(axis));
    // Aligned to the end, so that the kernel always walks six axes.
    const auto slot = static_cast<std::size_t>(Shape::max_rank - rank + at++);
    extents[slot] = x.dim(axis);
    strides[slot] = x.shape().numel_from(axis + 1);
  }
  Tensor<T, D> out(shape);
  if (out.size()) backend::permute(D{}, out.data(), x.data(), extents, strides);
  return out;
}

/// [B, C, H, W] -> [B, H, W, C].
template <class T, class D>
Tensor<T, D> nchw_to_nhwc(const Tensor<T, D>& x) {
  return permute(x, {0, 2, 3, 1});
}
/// [B, H, W, C] -> [B, C, H, W].
template <class T, class D>
Tensor<T, D> nhwc_to_nchw(const Tensor<T, D>& x) {
  return permute(x, {0, 3, 1, 2});
}

}  // namespace hypersd::ops
