// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cast.hpp>
#include <hypersd/ops/cpu/reduce.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/reduce.cuh>
#endif

/// \file
/// Sums. The order of summation depends on the shape alone: results do not depend on the number of threads and are the
/// same on every run.

namespace hypersd::ops {

/// Sum of f(operands...) over all elements, fused, as a tensor [1] that is not rounded to a 16-bit type. The first
/// operand must be a full one; the sum is accumulated in double. Throws ShapeError.
template <class F, class T, class D, class... X>
Tensor<Accumulator<T>, D> wide_map_sum(const F& f, const Tensor<T, D>& first, const X&... rest) {
  Tensor<Accumulator<T>, D> out(Shape{1});
  const detail::Layout layout = detail::layout_of<Tensor<T, D>, X...>(first.shape());
  backend::map_sum(D{}, out.data(), layout, f, detail::bind(first, first.shape(), layout),
                   detail::bind(rest, first.shape(), layout)...);
  return out;
}

/// The same in the type of the first operand.
template <class F, class T, class D, class... X>
Tensor<T, D> map_sum(const F& f, const Tensor<T, D>& first, const X&... rest) {
  return cast<T>(wide_map_sum(f, first, rest...));
}

/// Sum of all elements, shape [1].
template <class T, class D>
Tensor<T, D> sum(const Tensor<T, D>& t) {
  return map_sum(Identity{}, t);
}

/// Sum over all axes but the last: [..., C] -> [C]. Throws ShapeError for a scalar.
template <class T, class D>
Tensor<T, D> sum_to_channels(const Tensor<T, D>& t) {
  require<ShapeError>(t.rank() > 0, "sum_to_channels of a scalar");
  const std::int64_t cols = t.dim(-1);
  Tensor<T, D> out(Shape{cols});
  backend::sum_rows(D{}, out.data(), t.data(), 1, cols ? t.size() / cols : 0, cols);
  return out;
}

/// Sum over the positions of each sample: [B, ..., C] -> [B, C]. Throws ShapeError for a rank below 2.
template <class T, class D>
Tensor<T, D> sum_to_sample_channels(const Tensor<T, D>& t) {
  require<ShapeError>(t.rank() > 1, "sum_to_sample_channels of shape ", t.shape());
  const std::int64_t batch = t.dim(0), cols = t.dim(-1);
  Tensor<T, D> out(Shape{batch, cols});
  backend::sum_rows(D{}, out.data(), t.data(), batch, t.size() / std::max<std::int64_t>(1, batch * cols), cols);
  return out;
}

/// Sum of each sample: [B, ...] -> [B]. Throws ShapeError for a scalar.
template <class T, class D>
Tensor<T, D> sum_to_samples(const Tensor<T, D>& t) {
  require<ShapeError>(t.rank() > 0, "sum_to_samples of a scalar");
  Tensor<T, D> out(Shape{t.dim(0)});
  backend::sum_rows_to_one(D{}, out.data(), t.data(), t.dim(0), t.size() / std::max<std::int64_t>(1, t.dim(0)));
  return out;
}

}  // namespace hypersd::ops
