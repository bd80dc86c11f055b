// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/geometry.hpp>

namespace hypersd::ops::backend {

/// Copies `rows` runs of `cols` elements between matrices with row strides `to_stride` and `from_stride`.
template <class T>
void copy_columns(const Cpu&, T* to, std::int64_t to_stride, const T* from, std::int64_t from_stride, std::int64_t rows,
                  std::int64_t cols) {
  parallel_for(rows, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r)
                   std::copy_n(from + r * from_stride, cols, to + r * to_stride);
               });
}

template <class T>
void permute(const Cpu&, const PermuteGeometry& g, const T* in, T* out) {
  const int last = g.rank - 1;
  const std::int64_t inner = g.rank > 0 ? g.extent[last] : 1, step = g.rank > 0 ? g.stride[last] : 1;
  std::int64_t outer = 1;
  for (int i = 0; i < last; ++i) outer *= g.extent[i];
  parallel_for(outer, std::max<std::int64_t>(1, 16384 / inner), [&](std::int64_t begin, std::int64_t end) {
    // Position along the outer axes, counted up like an odometer.
    std::int64_t at[Shape::max_rank] = {};
    std::int64_t offset = 0;
    for (std::int64_t i = last - 1, rest = begin; i >= 0; --i) {
      at[i] = rest % g.extent[i];
      rest /= g.extent[i];
      offset += at[i] * g.stride[i];
    }
    for (std::int64_t r = begin; r < end; ++r) {
      const T* from = in + offset;
      T* to = out + r * inner;
      if (step == 1)
        std::copy_n(from, inner, to);
      else
        for (std::int64_t i = 0; i < inner; ++i) to[i] = from[i * step];
      for (int i = last - 1; i >= 0; --i) {
        offset += g.stride[i];
        if (++at[i] < g.extent[i]) break;
        offset -= g.extent[i] * g.stride[i];
        at[i] = 0;
      }
    }
  });
}

}  // namespace hypersd::ops::backend
