// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/context_cuda.cuh>
#include <hypersd/core/device.hpp>
#include <hypersd/ops/launch.hpp>
#include <hypersd/ops/operand.hpp>

namespace hypersd::ops::backend {

template <class R, class F, class... Args>
__global__ void map_kernel(R* out, detail::Layout layout, F f, Args... args) {
  const std::int64_t n = layout.rows * layout.cols;
  for (std::int64_t i = launch::first(blockIdx.x, threadIdx.x); i < n; i += launch::stride(gridDim.x)) {
    if (layout.rows == 1) {
      out[i] = converted<R>(f(widened(args.row(0, layout.cols)[i])...));
    } else {
      const launch::Position p = launch::position(i, layout.cols);
      out[i] = converted<R>(f(widened(args.row(p.row, layout.cols)[p.col])...));
    }
  }
}

/// out[r, c] = f(args[r, c]...): the functor and operands of the CPU loop, one thread an element.
template <class R, class F, class... Args>
void map(const Cuda&, R* out, detail::Layout layout, const F& f, const Args&... args) {
  const auto grid = static_cast<unsigned>(launch::blocks(layout.rows * layout.cols));
  hypersd::detail::launch("map", {grid, launch::threads}, map_kernel<R, F, Args...>, out, layout, f, args...);
}

}  // namespace hypersd::ops::backend
