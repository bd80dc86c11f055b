// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/core/tensor.hpp>
#include <string_view>
#include <vector>

/// \file
/// The three encodings of a mask in COCO's annotations: polygons, run lengths, compressed run lengths.

namespace hypersd::data {

/// A mask [height, width] of run lengths down the columns, which begin with those of zeros. Throws FormatError unless
/// they add up to height * width, before memory is allocated; ShapeError for a size that no tensor can have.
inline Tensor<std::uint8_t> mask_of_runs(const std::vector<std::int64_t>& counts, std::int64_t height,
                                         std::int64_t width) {
  const std::int64_t pixels = Shape{height, width}.numel();
  std::int64_t total = 0;
  for (const std::int64_t n : counts) {
    require<FormatError>(n >= 0 && n <= pixels - total, "run lengths: more than ", height, " x ", width, " pixels");
    total += n;
  }
  require<FormatError>(total == pixels, "run lengths: ", total, " of ", height, " x ", width, " pixels");
  auto out = Tensor<std::uint8_t>::zeros(Shape{height, width});
  std::int64_t at = 0;
  bool inside = false;
  for (const std::int64_t n : counts) {
    for (std::int64_t i = at; inside && i < at + n; ++i) out[i % height * width + i / height] = 1;
    at += n;
    inside = !inside;
  }
  return out;
}

/// Run lengths of COCO's compressed text: six bits a character from '0', 5 of value and one that says "more",
/// from the fourth on, differences to the count before the last. Throws FormatError for other characters, a text that
/// breaks off and a run length below 0 or above 2^40.
inline std::vector<std::int64_t> runs_of_text(std::string_view text) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < text.size();) {
    std::int64_t value = 0;
    int shift = 0;
    for (bool more = true; more;) {
      require<FormatError>(i < text.size(), "compressed run lengths: broken off");
      const int c = static_cast<unsigned char>(text[i++]) - 48;
      require<FormatError>(c >= 0 && c < 64, "compressed run lengths: a character out of range");
      require<FormatError>(shift <= 45, "compressed run lengths: a number of more than 50 bits");
      value |= static_cast<std::int64_t>(c & 0x1f) << shift;
      more = (c & 0x20) != 0;
      shift += 5;
      if (!more && (c & 0x10) != 0) value -= std::int64_t{1} << shift;
    }
    if (out.size() > 2) value += out[out.size() - 2];
    require<FormatError>(value >= 0 && value <= std::int64_t{1} << 40, "compressed run lengths: a length of ", value);
    out.push_back(value);
  }
  return out;
}

/// Largest coordinate of a polygon, of either sign.
inline constexpr double coco_coordinate_limit = 1 << 20;

/// Pixels whose centre lies in a polygon x1, y1, x2, y2, ... (even-odd), added to `mask` [H, W]. Throws FormatError for
/// fewer than three points, and for coordinates that are not finite or beyond `coco_coordinate_limit`.
inline void fill_polygon(Tensor<std::uint8_t>& mask, const std::vector<double>& points) {
  require<FormatError>(points.size() >= 6 && points.size() % 2 == 0, "a polygon of ", points.size(), " numbers");
  for (const double x : points)
    require<FormatError>(std::abs(x) <= coco_coordinate_limit, "a polygon's coordinate ", x, " is beyond ",
                         coco_coordinate_limit);
  const std::int64_t h = mask.dim(0), w = mask.dim(1);
  const std::size_t n = points.size() / 2;
  double top = points[1], bottom = points[1];
  for (std::size_t i = 1; i < n; ++i) {
    top = std::min(top, points[2 * i + 1]);
    bottom = std::max(bottom, points[2 * i + 1]);
  }
  const auto first = [](double x, std::int64_t size) {  // the first pixel whose centre is not before x
    return static_cast<std::int64_t>(std::clamp(std::ceil(x - 0.5), 0.0, static_cast<double>(size)));
  };
  std::vector<double> crossings;
  for (std::int64_t row = first(top, h); row < first(bottom, h); ++row) {
    const double y = static_cast<double>(row) + 0.5;
    crossings.clear();
    for (std::size_t i = 0; i < n; ++i) {
      const double x0 = points[2 * i], y0 = points[2 * i + 1];
      const double x1 = points[2 * ((i + 1) % n)], y1 = points[2 * ((i + 1) % n) + 1];
      if ((y0 <= y) != (y1 <= y)) crossings.push_back(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
    }
    std::sort(crossings.begin(), crossings.end());
    for (std::size_t i = 0; i + 1 < crossings.size(); i += 2) {
      const std::int64_t from = first(crossings[i], w), to = first(crossings[i + 1], w);
      std::fill(mask.data() + row * w + from, mask.data() + row * w + to, std::uint8_t{1});
    }
  }
}

}  // namespace hypersd::data
