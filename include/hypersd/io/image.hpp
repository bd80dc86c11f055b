// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <vector>

namespace hypersd::io {

/// An 8-bit image, row-major from the top left, with 1 (grey) or 3 (red, green, blue) values for each pixel.
struct Image {
  int width = 0;
  int height = 0;
  int channels = 1;
  std::vector<std::uint8_t> pixels;  ///< height * width * channels values

  Image() = default;
  /// An image of one colour.
  Image(int w, int h, int c, std::uint8_t value = 0) : width(w), height(h), channels(c) {
    require<ShapeError>(w >= 0 && h >= 0 && (c == 1 || c == 3), "image of ", w, " x ", h, " with ", c, " channels");
    pixels.assign(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * static_cast<std::size_t>(c), value);
  }
  /// First value of pixel (x, y).
  [[nodiscard]] std::uint8_t* at(int x, int y) { return pixels.data() + offset(x, y); }
  [[nodiscard]] const std::uint8_t* at(int x, int y) const { return pixels.data() + offset(x, y); }

 private:
  [[nodiscard]] std::size_t offset(int x, int y) const {
    return (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x)) *
           static_cast<std::size_t>(channels);
  }
};

/// A value in [-1, 1] as a byte, rounded to nearest; values outside are clamped, NaN becomes 0.
inline std::uint8_t to_byte(float x) {
  const float scaled = (x + 1.0F) * 127.5F;
  return static_cast<std::uint8_t>(scaled > 0.0F ? std::min(scaled, 255.0F) + 0.5F : 0.0F);
}

/// The image of a tensor `[H, W, C]` (or `[1, H, W, C]`), C = 1 or 3, values in [-1, 1].
inline Image to_image(const Tensor<float>& t) {
  const bool batch_of_one = t.rank() == 4 && t.dim(0) == 1;
  require<ShapeError>(t.rank() == 3 || batch_of_one, "to_image: shape ", t.shape(), " is not [H, W, C]");
  require<ShapeError>(t.dim(-1) == 1 || t.dim(-1) == 3, "to_image: shape ", t.shape(), " has neither 1 nor 3 channels");
  require<ShapeError>(t.dim(-2) <= 1 << 20 && t.dim(-3) <= 1 << 20, "to_image: shape ", t.shape(), " is too large");
  Image out(static_cast<int>(t.dim(-2)), static_cast<int>(t.dim(-3)), static_cast<int>(t.dim(-1)));
  std::transform(t.span().begin(), t.span().end(), out.pixels.begin(), to_byte);
  return out;
}

/// The tensor `[H, W, C]` of an image, values in [-1, 1].
inline Tensor<float> to_tensor(const Image& image) {
  Tensor<float> out(Shape{image.height, image.width, image.channels});
  std::transform(image.pixels.begin(), image.pixels.end(), out.data(),
                 [](std::uint8_t v) { return static_cast<float>(v) / 127.5F - 1.0F; });
  return out;
}

/// Enlarges by an integer factor with nearest-neighbour interpolation.
inline Image enlarge(const Image& image, int factor) {
  require<OptionError>(factor >= 1 && factor <= 64, "enlarge: factor ", factor, " is not between 1 and 64");
  Image out(image.width * factor, image.height * factor, image.channels);
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) std::copy_n(image.at(x / factor, y / factor), image.channels, out.at(x, y));
  return out;
}

/// Copies `from` into `to` with its top left corner at (x, y); clipped at the borders; grey becomes RGB.
/// Throws ShapeError for a colour image on a grey one.
inline void paste(Image& to, const Image& from, int x, int y) {
  require<ShapeError>(from.channels == 1 || to.channels == 3, "paste: a colour image on a grey one");
  for (int v = std::max(0, -y); v < from.height && y + v < to.height; ++v) {
    for (int u = std::max(0, -x); u < from.width && x + u < to.width; ++u) {
      const std::uint8_t* source = from.at(u, v);
      std::uint8_t* target = to.at(x + u, y + v);
      for (int c = 0; c < to.channels; ++c) target[c] = source[from.channels == 1 ? 0 : c];
    }
  }
}

}  // namespace hypersd::io
