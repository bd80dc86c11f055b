// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/context_cuda.cuh>
#include <hypersd/core/device.hpp>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/operand.hpp>

namespace hypersd::ops::backend {

template <int per, class R, class F, class... Args>
__global__ void map_kernel(R* out, detail::Layout layout, F f, Args... args) {
  const std::int64_t n = layout.rows * layout.cols, items = launch::unrolled_items(n, per);
  for (std::int64_t i = launch::first(blockIdx.x, threadIdx.x); i < items; i += launch::stride(gridDim.x)) {
    // All loads come before the first store: the compiler does not reorder them, since `out` may be an operand.
    R values[per];
#pragma unroll
    for (int u = 0; u < per; ++u) {
      const std::int64_t j = launch::unrolled_element(i, per, u);
      if (j >= n) break;
      if (layout.rows == 1) {
        values[u] = converted<R>(f(widened(args.row(0, layout.cols)[j])...));
      } else {
        const launch::Position p = launch::position(j, layout.cols);
        values[u] = converted<R>(f(widened(args.row(p.row, layout.cols)[p.col])...));
      }
    }
#pragma unroll
    for (int u = 0; u < per; ++u) {
      const std::int64_t j = launch::unrolled_element(i, per, u);
      if (j < n) out[j] = values[u];
    }
  }
}

/// out[r, c] = f(args[r, c]...) with the functor and operands of the CPU loop. If there are enough elements for all
/// multiprocessors, a thread has the loads of several in flight.
template <class R, class F, class... Args>
void map(const Cuda&, R* out, detail::Layout layout, const F& f, const Args&... args) {
  constexpr int many = sizeof(R) == 2 ? 8 : 4;
  const std::int64_t n = layout.rows * layout.cols;
  const auto run = [&](int per, auto* kernel) {
    const auto grid = static_cast<unsigned>(launch::blocks(launch::unrolled_items(n, per)));
    hypersd::detail::launch("map", {grid, launch::threads}, kernel, out, layout, f, args...);
  };
  if (n < std::int64_t{1} << 18)
    run(1, map_kernel<1, R, F, Args...>);
  else
    run(many, map_kernel<many, R, F, Args...>);
}

}  // namespace hypersd::ops::backend
