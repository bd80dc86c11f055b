// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <hypersd/optim/multi_tensor_cpu.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/ops/cuda/kernels.cuh>
#include <hypersd/optim/multi_tensor_cuda.hpp>
#endif

namespace hypersd::optim {

/// Runs each segment's functor over its arrays, all segments in one pass: f(a[i], b[i], ...) may change its arguments.
template <Device D, class F, class... X>
void multi_update(const std::vector<Segment<F, X...>>& segments) {
  backend::multi_update(D{}, std::span<const Segment<F, X...>>(segments));
}

/// Sum of each segment's functor over its array, over all segments, in double; independent of the number of threads.
/// Synchronizes.
template <Device D, class F, class X>
double multi_sum(const std::vector<Segment<F, X>>& segments) {
  return backend::multi_sum(D{}, std::span<const Segment<F, X>>(segments));
}

/// The same, written to `out` [1], without synchronizing. Throws ShapeError for another size.
template <class D, class F, class X>
void multi_sum_into(const Tensor<double, D>& out, const std::vector<Segment<F, X>>& segments) {
  require<ShapeError>(out.size() == 1, "multi_sum_into: result of shape ", out.shape());
  backend::multi_sum_into(D{}, out.data(), std::span<const Segment<F, X>>(segments));
}

}  // namespace hypersd::optim
