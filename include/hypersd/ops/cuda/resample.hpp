// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>
#include <hypersd/ops/geometry.hpp>

namespace hypersd::ops::launch {

/// `n` neighbouring channels at a time.
template <class T, int n>
struct UpsampleElements {
  ResampleGeometry g;
  const T* x;
  T* y;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.big_height * g.big_width * g.channels / n; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.big_height, g.big_width, g.channels / n);
    const std::int64_t from = pixel_index(p.b, p.y * g.height / g.big_height, p.x * g.width / g.big_width, p.c,
                                          g.height, g.width, g.channels / n);
    copy_vector<n>(x + n * from, y + n * static_cast<std::int64_t>(i));
  }
};

/// Each small pixel sums the big ones that read it: big positions i with floor(i small / big) = at.
template <class T>
struct UpsampleGradientElements {
  ResampleGeometry g;
  const T* gy;
  T* gx;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.height * g.width * g.channels; }
  [[nodiscard]] HYPERSD_HD static constexpr std::int64_t first_reader(std::int64_t at, std::int64_t small,
                                                                      std::int64_t big) {
    return (at * big + small - 1) / small;
  }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.height, g.width, g.channels);
    const std::int64_t top = p.y, left = p.x;
    const std::int64_t bottom = first_reader(top + 1, g.height, g.big_height);
    const std::int64_t right = first_reader(left + 1, g.width, g.big_width);
    Accumulator<T> total = 0;
    for (std::int64_t r = first_reader(top, g.height, g.big_height); r < bottom; ++r)
      for (std::int64_t c = first_reader(left, g.width, g.big_width); c < right; ++c)
        total += gy[pixel_index(p.b, r, c, p.c, g.big_height, g.big_width, g.channels)];
    gx[i] = converted<T>(total);
  }
};

template <class T>
struct DownsampleElements {
  ResampleGeometry g;
  const T* x;
  T* y;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.height * g.width * g.channels; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.height, g.width, g.channels);
    const std::int64_t top = p.y, left = p.x, line = g.big_width * g.channels;
    const T* from = x + pixel_index(p.b, 2 * top, 2 * left, p.c, g.big_height, g.big_width, g.channels);
    y[i] = converted<T>(Accumulator<T>(0.25) * ((from[0] + from[g.channels]) + (from[line] + from[line + g.channels])));
  }
};

template <class T>
struct DownsampleGradientElements {
  ResampleGeometry g;
  const T* gy;
  T* gx;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return g.batch * g.big_height * g.big_width * g.channels; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto p = pixel(i, g.big_height, g.big_width, g.channels);
    const std::int64_t from = pixel_index(p.b, p.y / 2, p.x / 2, p.c, g.height, g.width, g.channels);
    gx[i] = converted<T>(Accumulator<T>(0.25) * gy[from]);
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T>
void upsample_nearest(const D& device, const ResampleGeometry& g, const T* x, T* y) {
  launch::with_vector_width<T>(g.channels, {x, y}, [&]<int n>(std::integral_constant<int, n>) {
    run_elements(device, "upsample_nearest", launch::UpsampleElements<T, n>{g, x, y});
  });
}

template <launch::KernelDevice D, class T>
void upsample_nearest_gradient(const D& device, const ResampleGeometry& g, const T* gy, T* gx) {
  run_elements(device, "upsample_nearest_gradient", launch::UpsampleGradientElements<T>{g, gy, gx});
}

template <launch::KernelDevice D, class T>
void downsample_mean2(const D& device, const ResampleGeometry& g, const T* x, T* y) {
  run_elements(device, "downsample_mean2", launch::DownsampleElements<T>{g, x, y});
}

template <launch::KernelDevice D, class T>
void downsample_mean2_gradient(const D& device, const ResampleGeometry& g, const T* gy, T* gx) {
  run_elements(device, "downsample_mean2_gradient", launch::DownsampleGradientElements<T>{g, gy, gx});
}

}  // namespace hypersd::ops::backend
