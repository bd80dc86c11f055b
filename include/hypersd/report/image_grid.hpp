// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/base64.hpp>
#include <hypersd/io/image.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/report/svg.hpp>
#include <string>
#include <vector>

namespace hypersd::report {

/// Layout of `image_grid`. Lengths are in pixels at natural size; the drawing scales.
struct GridOptions {
  std::string title = "Grid of images";           ///< describes the grid to screen readers
  int columns = 0;                                ///< 0: as many as rows, rounded up
  int scale = 2;                                  ///< every pixel of a cell becomes scale x scale
  int padding = 2;                                ///< between cells and around the grid
  int group = 0;                                  ///< columns of a group, separated by `group_gap`; 0: no groups
  int group_gap = 10;                             ///< between groups
  std::vector<std::string> column_captions = {};  ///< one a column, or one a group; empty: none
  std::vector<std::string> row_captions = {};     ///< one a row, empty: none
};

namespace detail {

/// Positions of cells and captions.
struct GridLayout {
  int cell_w = 0, cell_h = 0, rows = 0, columns = 0;
  int left = 0, top = 0, width = 0, height = 0;
  int font = 13;  ///< size of the captions; larger in wide grids, which pages show smaller
  GridOptions options;

  [[nodiscard]] int x(int column) const { return left + column * (cell_w + options.padding) + gap(column); }
  [[nodiscard]] int y(int row) const { return top + row * (cell_h + options.padding); }
  /// Width added by the gaps between groups up to `column`.
  [[nodiscard]] int gap(int column) const {
    return options.group > 0 ? column / options.group * (options.group_gap - options.padding) : 0;
  }
};

inline GridLayout grid_layout(const Shape& s, GridOptions o) {
  require<ShapeError>(s.rank() == 4 && (s[3] == 1 || s[3] == 3), "image_grid: shape ", s,
                      " is not [N, H, W, 1] or [N, H, W, 3]");
  require<ShapeError>(s[0] > 0 && s[1] > 0 && s[2] > 0, "image_grid: shape ", s, " holds no images");
  require<OptionError>(o.columns >= 0 && o.scale >= 1 && o.scale <= 64 && o.padding >= 0 && o.padding <= 256 &&
                           o.group >= 0 && o.group_gap >= o.padding && o.group_gap <= 256,
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
  g.options = o;
  g.font = std::clamp(13 * g.x(g.columns) / 900, 13, std::max(13, g.cell_h / 2));
  g.left = g.top = o.padding;
  for (const std::string& caption : o.row_captions)
    g.left = std::max(g.left, static_cast<int>(svg_text_width(caption, g.font)) + 14);
  if (!o.column_captions.empty()) g.top = g.font + 9;
  g.width = g.x(g.columns - 1) + g.cell_w + o.padding;
  g.height = g.y(g.rows);
  return g;
}

/// The cells as pixels, from the first column to the last. The drawing covers the gaps; here they continue the cells,
/// so that no other colour shows at an edge when a browser scales the drawing.
inline io::Image grid_cells(const Tensor<float>& images, const GridLayout& g) {
  const int right = g.x(g.columns - 1) + g.cell_w, bottom = g.y(g.rows - 1) + g.cell_h;
  io::Image out(right - g.left, bottom - g.top, static_cast<int>(images.dim(3)), 255);
  for (std::int64_t i = 0; i < images.dim(0); ++i) {
    const auto row = static_cast<int>(i / g.columns), column = static_cast<int>(i % g.columns);
    paste(out, io::enlarge(io::to_image(images.slice(i, i + 1)), g.options.scale), g.x(column) - g.left,
          g.y(row) - g.top);
  }
  for (int c = 1; c < g.columns; ++c)
    for (int x = g.x(c - 1) + g.cell_w - g.left; x < g.x(c) - g.left; ++x)
      for (int y = 0; y < out.height; ++y) std::copy_n(out.at(x - 1, y), out.channels, out.at(x, y));
  for (int r = 1; r < g.rows; ++r)
    for (int y = g.y(r - 1) + g.cell_h - g.top; y < g.y(r) - g.top; ++y)
      std::copy_n(out.at(0, y - 1), out.width * out.channels, out.at(0, y));
  return out;
}

inline std::string grid_box(int x, int y, int width, int height) {
  if (width <= 0 || height <= 0) return {};
  return "M" + std::to_string(x) + " " + std::to_string(y) + "h" + std::to_string(width) + "v" +
         std::to_string(height) + "h-" + std::to_string(width) + "z";
}

/// Path over everything between the cells, and over the places of the last row without an image.
inline std::string grid_gaps(const GridLayout& g, std::int64_t images) {
  const int last = static_cast<int>(images) - (g.rows - 1) * g.columns;
  std::string path;
  for (int c = 0; c + 1 < g.columns; ++c) {
    const int from = g.x(c) + g.cell_w;
    path += grid_box(from, g.top, g.x(c + 1) - from, g.height - g.top);
  }
  for (int r = 0; r + 1 < g.rows; ++r) path += grid_box(g.left, g.y(r) + g.cell_h, g.width - g.left, g.options.padding);
  if (last < g.columns) path += grid_box(g.x(last), g.y(g.rows - 1), g.width - g.x(last), g.cell_h);
  return path;
}

/// A caption centred over `width` pixels from `x`; a longer one is condensed.
inline std::string grid_caption(int x, int width, const std::string& text, int font) {
  std::string attributes = "text-anchor=\"middle\"";
  if (svg_text_width(text, font) > width)
    attributes += " textLength=\"" + std::to_string(width) + "\" lengthAdjust=\"spacingAndGlyphs\"";
  return svg_text(x + width / 2.0, font + 1.0, text, attributes);
}

}  // namespace detail

/// A grid of `images` `[N, H, W, 1 or 3]` in [-1, 1], row by row, as SVG text for a file or a page: the cells are one
/// embedded PNG, captions are text. Throws ShapeError or OptionError.
inline std::string image_grid(const Tensor<float>& images, const GridOptions& options = {}) {
  const detail::GridLayout g = detail::grid_layout(images.shape(), options);
  const GridOptions& o = g.options;
  const io::Image cells = detail::grid_cells(images, g);
  // A small screen interpolates.
  std::string out = detail::svg_open("grid", g.width, g.height, o.title) +
                    "<style>@media(min-width:500px){.grid image{image-rendering:pixelated}}</style>\n<image x=\"" +
                    std::to_string(g.left) + "\" y=\"" + std::to_string(g.top) + "\" width=\"" +
                    std::to_string(cells.width) + "\" height=\"" + std::to_string(cells.height) +
                    "\" href=\"data:image/png;base64," + io::base64(io::encode_png(cells)) +
                    "\"/>\n<path class=\"paper\" d=\"" + detail::grid_gaps(g, images.dim(0)) + "\"/>\n<g font-size=\"" +
                    std::to_string(g.font) + "\">\n";
  const bool by_column = o.column_captions.size() == static_cast<std::size_t>(g.columns);
  for (int i = 0; i < static_cast<int>(o.column_captions.size()); ++i) {
    const int first = by_column ? i : i * o.group;
    const int last = by_column ? i : std::min(g.columns, first + o.group) - 1;
    out += detail::grid_caption(g.x(first), g.x(last) + g.cell_w - g.x(first),
                                o.column_captions[static_cast<std::size_t>(i)], g.font);
  }
  for (int i = 0; i < static_cast<int>(o.row_captions.size()); ++i)
    out += detail::svg_text(g.left - 7, g.y(i) + g.cell_h / 2.0 + 0.35 * g.font,
                            o.row_captions[static_cast<std::size_t>(i)], "text-anchor=\"end\"");
  return out + "</g>\n</svg>\n";
}

}  // namespace hypersd::report
