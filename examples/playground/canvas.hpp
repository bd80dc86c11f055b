// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>

#include <array>
#include <cmath>
#include <vector>

namespace playground {

using namespace hypersd;

/// A square picture of the plane [-reach, reach]^2, white, on which dots and lines are laid with some opacity.
class Canvas {
 public:
  using Colour = std::array<float, 3>;  // in [0, 1]
  static constexpr Colour blue{0.12F, 0.38F, 0.75F}, orange{0.90F, 0.42F, 0.05F}, grey{0.55F, 0.55F, 0.58F};

  explicit Canvas(int size = 150, double reach = 2.6)
      : size_(size), reach_(reach), pixels_(Tensor<float>::full(Shape{1, size, size, 3}, 1.0F)) {}

  /// Rows of x [N, 2] as dots.
  void dots(const Tensor<float>& x, Colour colour, double opacity, double radius = 1.0) {
    for (std::int64_t i = 0; i < x.dim(0); ++i) disc(column(x[2 * i]), row(x[2 * i + 1]), radius, colour, opacity);
  }
  /// Lines from the rows of a to those of b.
  void lines(const Tensor<float>& a, const Tensor<float>& b, Colour colour, double opacity) {
    for (std::int64_t i = 0; i < a.dim(0); ++i) {
      const double x0 = column(a[2 * i]), y0 = row(a[2 * i + 1]), x1 = column(b[2 * i]), y1 = row(b[2 * i + 1]);
      const int n = 1 + static_cast<int>(std::ceil(std::hypot(x1 - x0, y1 - y0)));
      for (int k = 0; k < n; ++k) {
        const double s = static_cast<double>(k) / n;
        disc(x0 + s * (x1 - x0), y0 + s * (y1 - y0), 0.5, colour, opacity);
      }
    }
  }
  /// [1, size, size, 3], values in [-1, 1].
  [[nodiscard]] const Tensor<float>& pixels() const { return pixels_; }

 private:
  [[nodiscard]] double column(double x) const { return 0.5 * size_ * (1 + x / reach_); }
  [[nodiscard]] double row(double y) const { return 0.5 * size_ * (1 - y / reach_); }
  void disc(double cx, double cy, double radius, Colour colour, double opacity) {
    const int r = static_cast<int>(std::ceil(radius)) + 1, x0 = static_cast<int>(cx), y0 = static_cast<int>(cy);
    for (int y = std::max(0, y0 - r); y <= std::min(size_ - 1, y0 + r); ++y)
      for (int x = std::max(0, x0 - r); x <= std::min(size_ - 1, x0 + r); ++x) {
        const double cover = std::min(1.0, std::max(0.0, radius + 0.5 - std::hypot(x + 0.5 - cx, y + 0.5 - cy)));
        const auto a = static_cast<float>(cover * opacity);
        for (int c = 0; c < 3; ++c) {
          float& p = pixels_[(std::int64_t{y} * size_ + x) * 3 + c];
          p += a * (2 * colour[static_cast<std::size_t>(c)] - 1 - p);
        }
      }
  }

  int size_;
  double reach_;
  Tensor<float> pixels_;
};

/// Pictures of one size as a batch, which is not empty.
inline Tensor<float> stack(const std::vector<Canvas>& canvases) {
  const Shape one = canvases.front().pixels().shape();
  Tensor<float> all(one.with(0, static_cast<std::int64_t>(canvases.size())));
  for (std::size_t i = 0; i < canvases.size(); ++i)
    all.slice(static_cast<std::int64_t>(i), static_cast<std::int64_t>(i) + 1).copy_from(canvases[i].pixels());
  return all;
}

}  // namespace playground
