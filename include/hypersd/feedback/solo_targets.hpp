// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/core/tensor.hpp>
#include <hypersd/data/instance.hpp>

namespace hypersd::feedback {

/// What a segmenter should say of a batch: SOLO's assignment of objects to cells.
template <class T, class D>
struct SoloTargets {
  Tensor<T, D> category;   ///< [B, S, S, classes], 1 where a cell has an object of the class
  Tensor<T, D> mask;       ///< [B, h, w, S S], the object's mask in the channel of each of its cells
  Tensor<T, D> positive;   ///< [B, S S], 1 for cells with an object
  std::int64_t cells = 0;  ///< how many of those there are
};

/// Where SOLO puts objects: the cell of the mask's centre of mass and its neighbours within `centre` times half the
/// object's extent, clipped to one cell around and to the grid. Masks are resized by averaging and cut at one half. An
/// object without pixels is skipped; a later object takes a cell from an earlier one. Throws ShapeError for masks that
/// are not [H, W] with multiples of the mask's size, OptionError for a label out of range. [SOLO; Hyper-SD Eq. 14]
template <class T = float, class D = Cpu>
SoloTargets<T, D> solo_targets(const std::vector<data::Instances>& batch, std::int64_t grid, std::int64_t mask_size,
                               std::int64_t classes, double centre = 0.2) {
  const auto b = static_cast<std::int64_t>(batch.size());
  auto category = Tensor<T>::zeros(Shape{b, grid, grid, classes});
  auto mask = Tensor<T>::zeros(Shape{b, mask_size, mask_size, grid * grid});
  auto positive = Tensor<T>::zeros(Shape{b, grid * grid});
  for (std::int64_t n = 0; n < b; ++n)
    for (const data::Instance& object : batch[static_cast<std::size_t>(n)]) {
      const Tensor<std::uint8_t>& m = object.mask;
      require<ShapeError>(m.rank() == 2 && m.dim(0) % mask_size == 0 && m.dim(1) % mask_size == 0,
                          "solo_targets: a mask of shape ", m.shape(), " for masks of ", mask_size, " x ", mask_size);
      require<OptionError>(object.label >= 0 && object.label < classes, "solo_targets: label ", object.label, " of ",
                           classes, " classes");
      const std::int64_t h = m.dim(0), w = m.dim(1);
      double area = 0, sum_y = 0, sum_x = 0;
      std::int64_t top = h, bottom = -1, left = w, right = -1;
      for (std::int64_t y = 0; y < h; ++y)
        for (std::int64_t x = 0; x < w; ++x)
          if (m[y * w + x] != 0) {
            area += 1, sum_y += static_cast<double>(y), sum_x += static_cast<double>(x);
            top = std::min(top, y), bottom = std::max(bottom, y);
            left = std::min(left, x), right = std::max(right, x);
          }
      if (area == 0) continue;
      const auto cell = [grid](double at, std::int64_t size) {
        return static_cast<std::int64_t>(std::floor(at / static_cast<double>(size) * static_cast<double>(grid)));
      };
      const double cy = sum_y / area, cx = sum_x / area;
      const double half_h = 0.5 * static_cast<double>(bottom - top) * centre;
      const double half_w = 0.5 * static_cast<double>(right - left) * centre;
      const std::int64_t row = cell(cy, h), column = cell(cx, w);
      const std::int64_t rows[] = {std::max({std::int64_t{0}, row - 1, cell(cy - half_h, h)}),
                                   std::min({grid - 1, row + 1, cell(cy + half_h, h)})};
      const std::int64_t columns[] = {std::max({std::int64_t{0}, column - 1, cell(cx - half_w, w)}),
                                      std::min({grid - 1, column + 1, cell(cx + half_w, w)})};
      for (std::int64_t r = rows[0]; r <= rows[1]; ++r)
        for (std::int64_t c = columns[0]; c <= columns[1]; ++c) {
          const std::int64_t channel = r * grid + c;
          for (std::int64_t k = 0; k < classes; ++k)
            category[(n * grid * grid + channel) * classes + k] = T(k == object.label ? 1 : 0);
          positive[n * grid * grid + channel] = T(1);
          const std::int64_t sy = h / mask_size, sx = w / mask_size;
          for (std::int64_t y = 0; y < mask_size; ++y)
            for (std::int64_t x = 0; x < mask_size; ++x) {
              std::int64_t on = 0;
              for (std::int64_t i = 0; i < sy; ++i)
                for (std::int64_t j = 0; j < sx; ++j) on += m[(y * sy + i) * w + x * sx + j] != 0 ? 1 : 0;
              mask[((n * mask_size + y) * mask_size + x) * grid * grid + channel] = T(2 * on >= sy * sx ? 1 : 0);
            }
        }
    }
  SoloTargets<T, D> out;
  for (const T v : positive.span()) out.cells += v != T(0) ? 1 : 0;
  out.category = category.template to<D>();
  out.mask = mask.template to<D>();
  out.positive = positive.template to<D>();
  return out;
}

}  // namespace hypersd::feedback
