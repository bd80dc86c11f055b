// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/geometry.hpp>

namespace hypersd::ops::backend {

/// Runs f(b, row) for every row of every image.
template <class F>
void for_image_rows(std::int64_t batch, std::int64_t height, std::int64_t row_size, F&& f) {
  parallel_for(batch * height, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, row_size)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r) f(r / height, r % height);
               });
}

template <class T>
void upsample_nearest(const Cpu&, const ResampleGeometry& g, const T* x, T* y) {
  const std::int64_t c = g.channels;
  for_image_rows(g.batch, g.big_height, g.big_width * c, [&](std::int64_t b, std::int64_t row) {
    const T* from = x + (b * g.height + row * g.height / g.big_height) * g.width * c;
    T* to = y + (b * g.big_height + row) * g.big_width * c;
    for (std::int64_t i = 0; i < g.big_width; ++i) std::copy_n(from + i * g.width / g.big_width * c, c, to + i * c);
  });
}

template <class T>
void upsample_nearest_gradient(const Cpu&, const ResampleGeometry& g, const T* gy, T* gx) {
  const std::int64_t c = g.channels;
  for_image_rows(g.batch, g.height, g.width * c, [&](std::int64_t b, std::int64_t row) {
    T* to = gx + (b * g.height + row) * g.width * c;
    std::fill_n(to, g.width * c, T(0));
    // Big rows i with floor(i h / H) == row.
    const std::int64_t begin = (row * g.big_height + g.height - 1) / g.height;
    const std::int64_t end = ((row + 1) * g.big_height + g.height - 1) / g.height;
    for (std::int64_t i = begin; i < end; ++i) {
      const T* from = gy + (b * g.big_height + i) * g.big_width * c;
      for (std::int64_t j = 0; j < g.big_width; ++j) {
        T* o = to + j * g.width / g.big_width * c;
        for (std::int64_t k = 0; k < c; ++k) o[k] += from[j * c + k];
      }
    }
  });
}

template <class T>
void downsample_mean2(const Cpu&, const ResampleGeometry& g, const T* x, T* y) {
  const std::int64_t c = g.channels, line = g.big_width * c;
  for_image_rows(g.batch, g.height, g.width * c, [&](std::int64_t b, std::int64_t row) {
    const T* from = x + (b * g.big_height + 2 * row) * line;
    T* to = y + (b * g.height + row) * g.width * c;
    for (std::int64_t j = 0; j < g.width; ++j, from += 2 * c, to += c)
      for (std::int64_t k = 0; k < c; ++k)
        to[k] = converted<T>(Accumulator<T>(0.25) * ((from[k] + from[c + k]) + (from[line + k] + from[line + c + k])));
  });
}

template <class T>
void downsample_mean2_gradient(const Cpu&, const ResampleGeometry& g, const T* gy, T* gx) {
  const std::int64_t c = g.channels;
  for_image_rows(g.batch, g.big_height, g.big_width * c, [&](std::int64_t b, std::int64_t row) {
    const T* from = gy + (b * g.height + row / 2) * g.width * c;
    T* to = gx + (b * g.big_height + row) * g.big_width * c;
    for (std::int64_t j = 0; j < g.big_width; ++j)
      for (std::int64_t k = 0; k < c; ++k) to[j * c + k] = converted<T>(Accumulator<T>(0.25) * from[j / 2 * c + k]);
  });
}

}  // namespace hypersd::ops::backend
