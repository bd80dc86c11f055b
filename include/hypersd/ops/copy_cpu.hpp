// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::ops::backend {

/// `rows` runs of `cols` elements between two row strides.
template <class T>
void copy_columns(const Cpu&, std::int64_t rows, std::int64_t cols, const T* in, std::int64_t in_stride, T* out,
                  std::int64_t out_stride) {
  parallel_for(rows, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r)
                   std::copy(in + r * in_stride, in + r * in_stride + cols, out + r * out_stride);
               });
}

/// Writes the result in order, reading with one stride per result axis.
template <class T>
void permute(const Cpu&, T* out, const T* in, const std::array<std::int64_t, Shape::max_rank>& n,
             const std::array<std::int64_t, Shape::max_rank>& stride) {
  for (std::int64_t a = 0; a < n[0]; ++a)
    for (std::int64_t b = 0; b < n[1]; ++b)
      for (std::int64_t c = 0; c < n[2]; ++c)
        for (std::int64_t d = 0; d < n[3]; ++d)
          for (std::int64_t e = 0; e < n[4]; ++e) {
            const T* from = in + a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3] + e * stride[4];
            for (std::int64_t f = 0; f < n[5]; ++f) *out++ = from[f * stride[5]];
          }
}

}  // namespace hypersd::ops::backend
