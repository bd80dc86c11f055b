// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <hypersd/ops/cpu/copy.hpp>
#include <vector>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/copy.hpp>
#include <hypersd/ops/cuda/kernels.cuh>
#endif

/// \file
/// Concatenation, slices and permutations of axes.

namespace hypersd::ops {

/// Concatenates tensors along the last axis. Throws ShapeError unless their other extents are equal.
template <class T, class D>
Tensor<T, D> concat_last(const std::vector<Tensor<T, D>>& parts) {
  require<ShapeError>(!parts.empty() && parts[0].rank() > 0, "concat_last: no tensors, or scalars");
  std::int64_t total = 0;
  for (const auto& t : parts) {
    require<ShapeError>(t.rank() == parts[0].rank() && t.shape().with(-1, 0) == parts[0].shape().with(-1, 0),
                        "concat_last: shapes ", parts[0].shape(), " and ", t.shape(), " differ before the last axis");
    total += t.dim(-1);
  }
  Tensor<T, D> out(parts[0].shape().with(-1, total));
  std::int64_t column = 0;
  for (const auto& t : parts) {
    const std::int64_t cols = t.dim(-1);
    if (t.size() > 0) backend::copy_columns(D{}, out.data() + column, total, t.data(), cols, t.size() / cols, cols);
    column += cols;
  }
  return out;
}
/// The same for two tensors.
template <class T, class D>
Tensor<T, D> concat_last(const Tensor<T, D>& a, const Tensor<T, D>& b) {
  return concat_last(std::vector<Tensor<T, D>>{a, b});
}

/// A copy of columns [begin, end) of the last axis. Throws ShapeError if they are out of range.
template <class T, class D>
Tensor<T, D> slice_last(const Tensor<T, D>& x, std::int64_t begin, std::int64_t end) {
  require<ShapeError>(x.rank() > 0 && 0 <= begin && begin <= end && end <= x.dim(-1), "slice_last [", begin, ", ", end,
                      ") of shape ", x.shape());
  Tensor<T, D> out(x.shape().with(-1, end - begin));
  if (out.size() > 0)
    backend::copy_columns(D{}, out.data(), end - begin, x.data() + begin, x.dim(-1), x.size() / x.dim(-1), end - begin);
  return out;
}

/// Writes `part` [..., c] to columns [begin, begin + c) of `out` [..., C]. Throws ShapeError.
template <class T, class D>
void slice_last_into(const Tensor<T, D>& out, std::int64_t begin, const Tensor<T, D>& part) {
  require<ShapeError>(part.rank() > 0 && part.rank() == out.rank() &&
                          part.shape().with(-1, 0) == out.shape().with(-1, 0) && 0 <= begin &&
                          begin + part.dim(-1) <= out.dim(-1),
                      "slice_last_into: ", part.shape(), " into ", out.shape(), " at ", begin);
  const std::int64_t cols = part.dim(-1);
  if (part.size() > 0)
    backend::copy_columns(D{}, out.data() + begin, out.dim(-1), part.data(), cols, part.size() / cols, cols);
}

/// Concatenates tensors along the first axis. Throws ShapeError unless their other extents are equal.
template <class T, class D>
Tensor<T, D> concat_first(const std::vector<Tensor<T, D>>& parts) {
  require<ShapeError>(!parts.empty() && parts[0].rank() > 0, "concat_first: no tensors, or scalars");
  std::int64_t total = 0;
  for (const auto& t : parts) {
    require<ShapeError>(t.rank() == parts[0].rank() && t.shape().with(0, 0) == parts[0].shape().with(0, 0),
                        "concat_first: shapes ", parts[0].shape(), " and ", t.shape(), " differ after the first axis");
    total += t.dim(0);
  }
  Tensor<T, D> out(parts[0].shape().with(0, total));
  std::int64_t row = 0;
  for (const auto& t : parts) {
    out.slice(row, row + t.dim(0)).copy_from(t);
    row += t.dim(0);
  }
  return out;
}
/// The same for two tensors.
template <class T, class D>
Tensor<T, D> concat_first(const Tensor<T, D>& a, const Tensor<T, D>& b) {
  return concat_first(std::vector<Tensor<T, D>>{a, b});
}

/// Transposition: axis i of the result is axis `axes[i]` of `x`. Throws ShapeError unless `axes` is a permutation.
template <class T, class D>
Tensor<T, D> permute(const Tensor<T, D>& x, const std::vector<int>& axes) {
  const int rank = x.rank();
  std::array<bool, Shape::max_rank> seen{};
  bool ok = static_cast<int>(axes.size()) == rank;
  for (const int a : axes) {
    ok = ok && a >= 0 && a < rank && !seen[static_cast<std::size_t>(a)];
    if (ok) seen[static_cast<std::size_t>(a)] = true;
  }
  require<ShapeError>(ok, "permute: ", axes.size(), " axes are not a permutation of those of shape ", x.shape());
  Shape shape;
  for (const int a : axes) shape.push_back(x.dim(a));
  Tensor<T, D> out(shape);
  if (out.size() == 0) return out;
  // Axes that stay neighbours are merged: NCHW -> NHWC is then a batch of matrix transposes.
  PermuteGeometry g;
  for (int i = 0; i < rank; ++i) {
    const int a = axes[static_cast<std::size_t>(i)];
    const std::int64_t extent = x.dim(a), stride = x.shape().numel_from(a + 1);
    if (extent == 1) continue;
    if (g.rank > 0 && g.stride[g.rank - 1] == extent * stride) {
      g.extent[g.rank - 1] *= extent;
      g.stride[g.rank - 1] = stride;
    } else {
      g.extent[g.rank] = extent;
      g.stride[g.rank++] = stride;
    }
  }
  backend::permute(D{}, g, x.data(), out.data());
  return out;
}

/// [B, C, H, W] -> [B, H, W, C]; for weights OIHW -> OHWI.
template <class T, class D>
Tensor<T, D> nchw_to_nhwc(const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() == 4, "nchw_to_nhwc of shape ", x.shape());
  return permute(x, {0, 2, 3, 1});
}
/// [B, H, W, C] -> [B, C, H, W]; for weights OHWI -> OIHW.
template <class T, class D>
Tensor<T, D> nhwc_to_nchw(const Tensor<T, D>& x) {
  require<ShapeError>(x.rank() == 4, "nhwc_to_nchw of shape ", x.shape());
  return permute(x, {0, 3, 1, 2});
}

}  // namespace hypersd::ops
