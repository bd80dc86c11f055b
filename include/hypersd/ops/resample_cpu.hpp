// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::ops::backend {

/// Visits (offset of the large row pixel, offset of its source) of one sample.
template <class F>
void for_each_nearest(std::int64_t h, std::int64_t w, std::int64_t height, std::int64_t width, F&& f) {
  for (std::int64_t i = 0; i < height; ++i)
    for (std::int64_t j = 0; j < width; ++j) f(i * width + j, (i * h / height) * w + j * w / width);
}

template <class T>
void upsample_nearest(const Cpu&, T* y, const T* x, std::int64_t batch, std::int64_t h, std::int64_t w,
                      std::int64_t height, std::int64_t width, std::int64_t channels) {
  parallel_for(batch, std::max<std::int64_t>(1, 32768 / (height * width * channels)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t b = begin; b < end; ++b) {
                   const T* in = x + b * h * w * channels;
                   T* out = y + b * height * width * channels;
                   for_each_nearest(h, w, height, width, [&](std::int64_t to, std::int64_t from) {
                     std::copy(in + from * channels, in + (from + 1) * channels, out + to * channels);
                   });
                 }
               });
}

template <class T>
void upsample_nearest_backward(const Cpu&, T* gx, const T* gy, std::int64_t batch, std::int64_t h, std::int64_t w,
                               std::int64_t height, std::int64_t width, std::int64_t channels) {
  parallel_for(batch, std::max<std::int64_t>(1, 32768 / (height * width * channels)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t b = begin; b < end; ++b) {
                   T* out = gx + b * h * w * channels;
                   const T* in = gy + b * height * width * channels;
                   for_each_nearest(h, w, height, width, [&](std::int64_t from, std::int64_t to) {
                     T* o = out + to * channels;
                     const T* i = in + from * channels;
                     for (std::int64_t c = 0; c < channels; ++c) o[c] += i[c];
                   });
                 }
               });
}

}  // namespace hypersd::ops::backend
