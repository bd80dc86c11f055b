// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <hypersd/io/image.hpp>
#include <numbers>
#include <vector>

namespace hypersd::data {

namespace detail {

/// The inputs of one output of a separable filter, with weights of 22 fractional bits.
struct ResampleWindow {
  int first = 0;
  std::vector<std::int32_t> weights;
};

/// sinc(x) sinc(x / 3) within three lobes.
inline double lanczos3(double x) {
  if (x < -3 || x >= 3) return 0;
  if (x == 0) return 1;
  const double y = x * std::numbers::pi;
  return std::sin(y) / y * std::sin(y / 3) / (y / 3);
}

inline std::vector<ResampleWindow> resample_windows(int in, int out) {
  const double scale = static_cast<double>(in) / out, stretch = std::max(1.0, scale), reach = 3 * stretch;
  std::vector<ResampleWindow> windows;
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    ResampleWindow window{std::max(0, static_cast<int>(centre - reach + 0.5)), {}};
    const int last = std::min(in, static_cast<int>(centre + reach + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int x = window.first; x < last; ++x) {
      weights.push_back(lanczos3((x - centre + 0.5) / stretch));
      sum += weights.back();
    }
    for (const double w : weights) window.weights.push_back(static_cast<std::int32_t>(std::round(w / sum * (1 << 22))));
    windows.push_back(std::move(window));
  }
  return windows;
}

/// Resamples along rows, `in.width` to `out`; the other direction goes by transposition.
inline io::Image resample_rows(const io::Image& in, int out) {
  const auto windows = resample_windows(in.width, out);
  io::Image result(out, in.height, in.channels);
  for (int y = 0; y < in.height; ++y)
    for (int x = 0; x < out; ++x) {
      const ResampleWindow& window = windows[static_cast<std::size_t>(x)];
      for (int c = 0; c < in.channels; ++c) {
        std::int64_t sum = 1 << 21;
        for (std::size_t k = 0; k < window.weights.size(); ++k)
          sum += std::int64_t{window.weights[k]} * in.at(window.first + static_cast<int>(k), y)[c];
        result.at(x, y)[c] = static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> 22, 0, 255));
      }
    }
  return result;
}
inline io::Image transposed(const io::Image& in) {
  io::Image out(in.height, in.width, in.channels);
  for (int y = 0; y < in.height; ++y)
    for (int x = 0; x < in.width; ++x) std::copy_n(in.at(x, y), in.channels, out.at(y, x));
  return out;
}

}  // namespace detail

/// Resizes by Lanczos' filter of three lobes with antialiasing, rows first: the bytes of Pillow's
/// `resize((width, height), LANCZOS)`. Throws ShapeError for images without pixels.
inline io::Image resize_lanczos(const io::Image& image, int width, int height) {
  require<ShapeError>(image.width > 0 && image.height > 0 && width > 0 && height > 0, "resize_lanczos: ", image.width,
                      " x ", image.height, " to ", width, " x ", height);
  io::Image across = width == image.width ? image : detail::resample_rows(image, width);
  if (height == image.height) return across;
  return detail::transposed(detail::resample_rows(detail::transposed(across), height));
}

}  // namespace hypersd::data
