// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <hypersd/core/tensor.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::data {

/// A byte as a value in [-1, 1].
inline float from_byte(std::uint8_t value) { return static_cast<float>(value) / 127.5F - 1.0F; }

/// Labelled images, stored as bytes and converted to float on access. Threads may read at the same time.
class ImageSet {
 public:
  ImageSet() = default;
  /// `pixels` is [N, H, W, C], `labels` [N] with values from 0 to `classes` - 1. Throws ShapeError or FormatError.
  ImageSet(Tensor<std::uint8_t> pixels, Tensor<std::int32_t> labels, int classes)
      : pixels_(std::move(pixels)), labels_(std::move(labels)), classes_(classes) {
    require<ShapeError>(pixels_.rank() == 4 && labels_.rank() == 1 && pixels_.dim(0) == labels_.dim(0),
                        "ImageSet: pixels ", pixels_.shape(), " and labels ", labels_.shape(), " do not match");
    for (const std::int32_t label : labels_.span())
      require<FormatError>(label >= 0 && label < classes_, "ImageSet: label ", label, " is not one of ", classes_,
                           " classes");
  }

  /// Number of images.
  [[nodiscard]] std::int64_t size() const { return labels_.size(); }
  [[nodiscard]] int classes() const { return classes_; }
  [[nodiscard]] std::int64_t height() const { return pixels_.dim(1); }
  [[nodiscard]] std::int64_t width() const { return pixels_.dim(2); }
  [[nodiscard]] std::int64_t channels() const { return pixels_.dim(3); }
  /// The bytes, [N, H, W, C].
  [[nodiscard]] const Tensor<std::uint8_t>& pixels() const { return pixels_; }
  /// The classes, [N].
  [[nodiscard]] const Tensor<std::int32_t>& labels() const { return labels_; }

  /// Images by number, [indices, H, W, C] in [-1, 1]. Throws ShapeError for a number that is out of range.
  [[nodiscard]] Tensor<float> images(std::span<const std::int64_t> indices) const {
    Tensor<float> out(pixels_.shape().with(0, static_cast<std::int64_t>(indices.size())));
    const std::int64_t row = pixels_.shape().numel_from(1);
    std::int64_t at = 0;
    for (const std::int64_t i : indices) {
      check(i);
      std::transform(pixels_.data() + i * row, pixels_.data() + (i + 1) * row, out.data() + at, from_byte);
      at += row;
    }
    return out;
  }
  /// Images `begin` to `end` - 1, in order.
  [[nodiscard]] Tensor<float> images(std::int64_t begin, std::int64_t end) const {
    const Tensor<std::uint8_t> part = pixels_.slice(begin, end);
    Tensor<float> out(part.shape());
    std::transform(part.data(), part.data() + part.size(), out.data(), from_byte);
    return out;
  }
  /// Classes by number, [indices].
  [[nodiscard]] Tensor<std::int32_t> labels(std::span<const std::int64_t> indices) const {
    Tensor<std::int32_t> out(Shape{static_cast<std::int64_t>(indices.size())});
    std::int64_t at = 0;
    for (const std::int64_t i : indices) {
      check(i);
      out[at++] = labels_[i];
    }
    return out;
  }
  /// The first `count` images of the set (all if there are fewer); shares the storage.
  [[nodiscard]] ImageSet first(std::int64_t count) const { return part(0, std::min(count, size())); }
  /// Images `begin` to `end` - 1 as a set; shares the storage.
  [[nodiscard]] ImageSet part(std::int64_t begin, std::int64_t end) const {
    ImageSet out = *this;
    out.pixels_ = pixels_.slice(begin, end);
    out.labels_ = labels_.slice(begin, end);
    return out;
  }
  /// Numbers of the images of one class, in order; at most `limit` if it is not negative.
  [[nodiscard]] std::vector<std::int64_t> of_class(std::int32_t label, std::int64_t limit = -1) const {
    std::vector<std::int64_t> out;
    for (std::int64_t i = 0; i < size(); ++i)
      if (labels_[i] == label && (limit < 0 || static_cast<std::int64_t>(out.size()) < limit)) out.push_back(i);
    return out;
  }

 private:
  void check(std::int64_t i) const { require<ShapeError>(i >= 0 && i < size(), "ImageSet: image ", i, " of ", size()); }

  Tensor<std::uint8_t> pixels_{Shape{0, 0, 0, 0}};
  Tensor<std::int32_t> labels_{Shape{0}};
  int classes_ = 0;
};

/// Centres `pixels` [N, H, W, C] in images of `height` x `width` with a border of `value`. Throws ShapeError if those
/// are smaller.
inline Tensor<std::uint8_t> pad(const Tensor<std::uint8_t>& pixels, std::int64_t height, std::int64_t width,
                                std::uint8_t value = 0) {
  require<ShapeError>(pixels.rank() == 4 && pixels.dim(1) <= height && pixels.dim(2) <= width, "pad: shape ",
                      pixels.shape(), " does not fit into ", height, " x ", width);
  if (pixels.dim(1) == height && pixels.dim(2) == width) return pixels;
  const std::int64_t h = pixels.dim(1), w = pixels.dim(2), c = pixels.dim(3);
  const std::int64_t top = (height - h) / 2, left = (width - w) / 2;
  auto out = Tensor<std::uint8_t>::full({pixels.dim(0), height, width, c}, value);
  for (std::int64_t n = 0; n < pixels.dim(0); ++n)
    for (std::int64_t y = 0; y < h; ++y)
      std::copy_n(pixels.data() + (n * h + y) * w * c, w * c, out.data() + ((n * height + top + y) * width + left) * c);
  return out;
}

}  // namespace hypersd::data
