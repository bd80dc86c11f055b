// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/image.hpp>
#include <hypersd/report/pixel_text.hpp>
#include <string>
#include <vector>

namespace hypersd::report {

/// Layout of `image_grid`. Lengths are in pixels of the result.
struct GridOptions {
  int columns = 0;                                ///< 0: as many as rows, rounded up
  int scale = 2;                                  ///< every pixel of a cell becomes scale x scale
  int padding = 2;                                ///< between cells and around the grid
  int group = 0;                                  ///< columns of a group, separated by `group_gap`; 0: no groups
  int group_gap = 10;                             ///< between groups
  int text_scale = 1;                             ///< size of the captions, 1 is 7 pixels high
  std::uint8_t background = 255;                  ///< grey behind the cells; the captions contrast with it
  std::vector<std::string> column_captions = {};  ///< one a column, or one a group; empty: none
  std::vector<std::string> row_captions = {};     ///< one a row, empty: none
};

namespace detail {

/// Positions of cells and captions.
struct GridLayout {
  int cell_w = 0, cell_h = 0, rows = 0, columns = 0;
  int left = 0, top = 0, width = 0, height = 0;
  GridOptions options;

  [[nodiscard]] int x(int column) const {
    const int gaps = options.group > 0 ? column / options.group : 0;
    return left + column * (cell_w + options.padding) + gaps * (options.group_gap - options.padding);
  }
  [[nodiscard]] int y(int row) const { return top + row * (cell_h + options.padding); }
};

inline GridLayout grid_layout(const Shape& s, GridOptions o) {
  require<ShapeError>(s.rank() == 4 && (s[3] == 1 || s[3] == 3), "image_grid: shape ", s,
                      " is not [N, H, W, 1] or [N, H, W, 3]");
  require<ShapeError>(s[0] > 0 && s[1] > 0 && s[2] > 0, "image_grid: shape ", s, " holds no images");
  require<OptionError>(o.columns >= 0 && o.scale >= 1 && o.scale <= 64 && o.padding >= 0 && o.padding <= 256 &&
                           o.group >= 0 && o.group_gap >= o.padding && o.group_gap <= 256 && o.text_scale >= 1 &&
                           o.text_scale <= 16,
                       "image_grid: an option is out of range");
  if (o.columns == 0) o.columns = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(s[0]))));
  const std::int64_t rows = (s[0] + o.columns - 1) / o.columns;
  require<ShapeError>(std::max(s[2] * o.columns, s[1] * rows) * o.scale < 60000, "image_grid: shape ", s, " at scale ",
                      o.scale, " is too large: at most 60000 pixels a side");
  GridLayout g;
  g.rows = static_cast<int>(rows);
  g.columns = o.columns;
  g.cell_w = static_cast<int>(s[2]) * o.scale;
  g.cell_h = static_cast<int>(s[1]) * o.scale;
  const std::size_t groups =
      o.group > 0 ? static_cast<std::size_t>((o.columns + o.group - 1) / o.group) : static_cast<std::size_t>(o.columns);
  require<OptionError>(o.column_captions.empty() || o.column_captions.size() == groups ||
                           o.column_captions.size() == static_cast<std::size_t>(o.columns),
                       "image_grid: ", o.column_captions.size(), " column captions for ", o.columns, " columns");
  require<OptionError>(o.row_captions.empty() || o.row_captions.size() == static_cast<std::size_t>(g.rows),
                       "image_grid: ", o.row_captions.size(), " row captions for ", g.rows, " rows");
  g.left = g.top = o.padding;
  for (const std::string& caption : o.row_captions)
    g.left = std::max(g.left, text_width(caption, o.text_scale) + 8 * o.text_scale);
  if (!o.column_captions.empty()) g.top = (text_height + 4) * o.text_scale;
  g.options = o;
  g.width = g.x(g.columns - 1) + g.cell_w + o.padding;
  g.height = g.y(g.rows);
  return g;
}

/// Text centred in `width` pixels from `x`, truncated if it is too long.
inline void centred_text(io::Image& image, int x, int width, int y, std::string text, int scale, std::uint8_t value) {
  while (!text.empty() && text_width(text, scale) > width) text.pop_back();
  draw_text(image, x + (width - text_width(text, scale)) / 2, y, text, scale, value);
}

}  // namespace detail

/// One image with a grid of `images` `[N, H, W, 1 or 3]` in [-1, 1], row by row. Throws ShapeError or OptionError.
inline io::Image image_grid(const Tensor<float>& images, const GridOptions& options = {}) {
  const detail::GridLayout g = detail::grid_layout(images.shape(), options);
  const GridOptions& o = g.options;
  io::Image out(g.width, g.height, static_cast<int>(images.dim(3)), o.background);
  for (std::int64_t i = 0; i < images.dim(0); ++i) {
    const auto row = static_cast<int>(i / g.columns), column = static_cast<int>(i % g.columns);
    paste(out, io::enlarge(io::to_image(images.slice(i, i + 1)), o.scale), g.x(column), g.y(row));
  }
  const std::uint8_t ink = o.background > 127 ? 40 : 225;
  const bool by_column = o.column_captions.size() == static_cast<std::size_t>(g.columns);
  for (int i = 0; i < static_cast<int>(o.column_captions.size()); ++i) {
    const int first = by_column ? i : i * o.group;
    const int last = by_column ? i : std::min(g.columns, first + o.group) - 1;
    detail::centred_text(out, g.x(first), g.x(last) + g.cell_w - g.x(first), 3 * o.text_scale,
                         o.column_captions[static_cast<std::size_t>(i)], o.text_scale, ink);
  }
  for (int i = 0; i < static_cast<int>(o.row_captions.size()); ++i) {
    const std::string& text = o.row_captions[static_cast<std::size_t>(i)];
    draw_text(out, g.left - text_width(text, o.text_scale) - 4 * o.text_scale,
              g.y(i) + (g.cell_h - 7 * o.text_scale) / 2, text, o.text_scale, ink);
  }
  return out;
}

}  // namespace hypersd::report
