// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/optim/multi_tensor_cpu.hpp>
#if HYPERSD_HAS_CUDA
#include <hypersd/optim/multi_tensor_cuda.cuh>
#endif

namespace hypersd::optim {

/// Runs each segment's functor over its arrays, all segments in one pass: f(a[i], b[i], ...) may change its arguments.
template <Device D, class T, std::size_t N, class F>
void multi_update(const std::vector<Segment<T, N, F>>& segments) {
  backend::multi_update(D{}, std::span<const Segment<T, N, F>>(segments));
}

/// Sum of each segment's functor over its array, all segments together; independent of the thread count.
template <Device D, class T, class F>
double multi_sum(const std::vector<Segment<T, 1, F>>& segments) {
  return backend::multi_sum(D{}, std::span<const Segment<T, 1, F>>(segments));
}

}  // namespace hypersd::optim
