// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <hypersd/core/tensor.hpp>
#include <vector>

namespace hypersd::data {

/// Thresholds of `canny` on |dx| + |dy| of 3x3 Sobel filters over bytes; the defaults of ControlNet.
struct CannyOptions {
  int low = 100, high = 200;
};

namespace detail {

/// Sobel gradients and |dx| + |dy| of one image of bytes; the frame around it repeats its border, and has size 0. Of
/// several channels each pixel has the gradient of the one whose size is largest, the first of equals.
struct Gradients {
  std::int64_t h, w;
  std::vector<int> dx, dy, size;  // size has a frame of zeros: (h + 2) x (w + 2)

  Gradients(const std::uint8_t* p, std::int64_t height, std::int64_t width, std::int64_t channels)
      : h(height),
        w(width),
        dx(static_cast<std::size_t>(h * w)),
        dy(dx),
        size(static_cast<std::size_t>((h + 2) * (w + 2))) {
    for (std::int64_t c = 0; c < channels; ++c) add_channel(p + c, channels);
  }
  void add_channel(const std::uint8_t* p, std::int64_t stride) {
    const auto at = [&](std::int64_t y, std::int64_t x) {
      const std::int64_t row = std::clamp<std::int64_t>(y, 0, h - 1), column = std::clamp<std::int64_t>(x, 0, w - 1);
      return static_cast<int>(p[(row * w + column) * stride]);
    };
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x) {
        const int gx = at(y - 1, x + 1) + 2 * at(y, x + 1) + at(y + 1, x + 1) - at(y - 1, x - 1) - 2 * at(y, x - 1) -
                       at(y + 1, x - 1);
        const int gy = at(y + 1, x - 1) + 2 * at(y + 1, x) + at(y + 1, x + 1) - at(y - 1, x - 1) - 2 * at(y - 1, x) -
                       at(y - 1, x + 1);
        const auto i = static_cast<std::size_t>(y * w + x);
        int& largest = size[static_cast<std::size_t>((y + 1) * (w + 2) + x + 1)];
        const int own = std::abs(gx) + std::abs(gy);
        if (own > largest) dx[i] = gx, dy[i] = gy, largest = own;
      }
  }
  [[nodiscard]] int operator()(std::int64_t y, std::int64_t x) const {
    return size[static_cast<std::size_t>((y + 1) * (w + 2) + x + 1)];
  }
  /// Whether the gradient at (y, x) is largest along its own direction: horizontal, vertical or diagonal, with borders
  /// at 22.5 and 67.5 degrees in fixed point, as in OpenCV.
  [[nodiscard]] bool peak(std::int64_t y, std::int64_t x) const {
    constexpr std::int64_t shift = 15, tan_22 = 13573;  // tan(22.5 degrees) 2^15
    const auto i = static_cast<std::size_t>(y * w + x);
    const int m = (*this)(y, x);
    const std::int64_t across = std::abs(dx[i]), along = static_cast<std::int64_t>(std::abs(dy[i])) << shift;
    const std::int64_t flat = across * tan_22;
    if (along < flat) return m > (*this)(y, x - 1) && m >= (*this)(y, x + 1);
    if (along > flat + (across << (shift + 1))) return m > (*this)(y - 1, x) && m >= (*this)(y + 1, x);
    const std::int64_t s = (dx[i] ^ dy[i]) < 0 ? -1 : 1;
    return m > (*this)(y - 1, x - s) && m > (*this)(y + 1, x + s);
  }
};

}  // namespace detail

/// Edges of images [N, H, W, C] in [-1, 1], C = 1 or 3: 1 on an edge, 0 elsewhere, [N, H, W, 1]. The result is OpenCV's
/// `Canny` on the images as bytes (3x3 filters, L1 norm): gradients above `high`, and above `low` where connected to
/// those. (Canny 1986.) Throws ShapeError for another number of channels, OptionError unless 0 <= low <= high.
inline Tensor<float> canny(const Tensor<float>& images, const CannyOptions& options = {}) {
  require<ShapeError>(images.rank() == 4 && (images.dim(3) == 1 || images.dim(3) == 3), "canny: shape ", images.shape(),
                      " is neither [N, H, W, 1] nor [N, H, W, 3]");
  require<OptionError>(0 <= options.low && options.low <= options.high, "canny: thresholds ", options.low, " and ",
                       options.high);
  const std::int64_t h = images.dim(1), w = images.dim(2), channels = images.dim(3);
  auto out = Tensor<float>::zeros(images.shape().with(3, 1));
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(h * w * channels));
  for (std::int64_t n = 0; n < images.dim(0); ++n) {
    const float* from = images.data() + n * h * w * channels;
    std::transform(from, from + h * w * channels, bytes.begin(), [](float v) {
      return static_cast<std::uint8_t>(std::lround(std::clamp((v + 1) * 127.5F, 0.0F, 255.0F)));
    });
    const detail::Gradients g(bytes.data(), h, w, channels);
    float* to = out.data() + n * h * w;
    std::vector<std::int64_t> open;
    std::vector<char> candidate(static_cast<std::size_t>(h * w), 0);
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x)
        if (g(y, x) > options.low && g.peak(y, x)) {
          candidate[static_cast<std::size_t>(y * w + x)] = 1;
          if (g(y, x) > options.high) open.push_back(y * w + x);
        }
    while (!open.empty()) {
      const std::int64_t i = open.back(), y = i / w, x = i % w;
      open.pop_back();
      if (to[i] == 1.0F) continue;
      to[i] = 1.0F;
      for (std::int64_t v = std::max<std::int64_t>(0, y - 1); v <= std::min(h - 1, y + 1); ++v)
        for (std::int64_t u = std::max<std::int64_t>(0, x - 1); u <= std::min(w - 1, x + 1); ++u)
          if (candidate[static_cast<std::size_t>(v * w + u)] != 0 && to[v * w + u] == 0.0F) open.push_back(v * w + u);
    }
  }
  return out;
}

}  // namespace hypersd::data
