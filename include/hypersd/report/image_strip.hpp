// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/base64.hpp>
#include <hypersd/io/image.hpp>
#include <hypersd/io/png.hpp>
#include <hypersd/io/text.hpp>
#include <string>
#include <vector>

namespace hypersd::report {

/// What `image_strip` compares.
struct StripOptions {
  std::string title = "Two rows of images";  ///< describes the strip to screen readers
  std::vector<std::string> rows = {};        ///< at least two: what can be chosen, e.g. samplers
  std::vector<std::string> columns = {};     ///< what each image of a row shows, e.g. classes
  int above = 0, below = 1;                  ///< the rows that are shown first
};

namespace detail {

/// All images of a strip, a row of the sheet for each of `rows`.
inline io::Image strip_sheet(const Tensor<float>& images, int rows) {
  const auto wide = static_cast<int>(images.dim(0)) / rows;
  const auto h = static_cast<int>(images.dim(1)), w = static_cast<int>(images.dim(2));
  io::Image out(w * wide, h * rows, static_cast<int>(images.dim(3)), 255);
  for (int i = 0; i < rows * wide; ++i) paste(out, io::to_image(images.slice(i, i + 1)), i % wide * w, i / wide * h);
  return out;
}

inline std::string strip_choice(const std::string& label, const std::vector<std::string>& names, int chosen) {
  std::string out = "<label>" + label + " <select>";
  for (std::size_t i = 0; i < names.size(); ++i)
    out += std::string(static_cast<int>(i) == chosen ? "<option selected value=\"" : "<option value=\"") +
           std::to_string(i) + "\">" + io::xml_text(names[i]) + "</option>";
  return out + "</select></label>\n";
}

/// Shows the chosen rows. Positions are those of a background that is as many times as large as its box.
inline constexpr const char* strip_script = R"js((s => {
  const [a, b] = s.querySelectorAll("select"), draw = s.querySelector("input"), cells = s.querySelectorAll(".cell");
  const part = (i, n) => n > 1 ? 100 * i / (n - 1) + "%" : "0%";
  const show = () => cells.forEach((cell, i) => {
    const x = part((draw ? +draw.value : 0) * cells.length + i, +s.dataset.wide);
    const at = row => x + " " + part(row, +s.dataset.high);
    const [above, below, both] = cell.querySelectorAll("i");
    above.style.backgroundPosition = at(a.value);
    below.style.backgroundPosition = at(b.value);
    both.style.backgroundPosition = at(a.value) + "," + at(b.value);
  });
  s.addEventListener("input", show);
  show();
})(document.currentScript.parentNode))js";

}  // namespace detail

/// A comparison for an `HtmlReport`: of the rows of `images` `[rows * draws * columns, H, W, 1 or 3]` in [-1, 1], row
/// by row and in a row draw by draw, the reader chooses two and the draw; below them stands their difference, dark
/// where they agree. HTML with one embedded PNG and a small script of its own; without scripts it shows the first
/// choice. Throws ShapeError if the images do not fill the rows, OptionError if there are fewer than two rows or no
/// columns.
inline std::string image_strip(const Tensor<float>& images, const StripOptions& o) {
  const Shape& s = images.shape();
  const auto rows = static_cast<std::int64_t>(o.rows.size()), columns = static_cast<std::int64_t>(o.columns.size());
  require<OptionError>(rows >= 2 && columns >= 1 && o.above >= 0 && o.above < rows && o.below >= 0 && o.below < rows,
                       "image_strip: ", rows, " rows, of which ", o.above, " and ", o.below, " are shown first, and ",
                       columns, " columns; there must be two rows and a column");
  require<ShapeError>(
      s.rank() == 4 && (s[3] == 1 || s[3] == 3) && s[0] > 0 && s[0] % (rows * columns) == 0 && s[1] > 0 && s[2] > 0,
      "image_strip: shape ", s, " is not [n * ", rows * columns, ", H, W, 1 or 3]");
  const std::int64_t wide = s[0] / rows, draws = wide / columns;
  const io::Image sheet = detail::strip_sheet(images, static_cast<int>(rows));
  const auto size = std::to_string(100 * wide) + "% " + std::to_string(100 * rows) + "%";
  std::string out = "<div class=\"strip\" data-wide=\"" + std::to_string(wide) + "\" data-high=\"" +
                    std::to_string(rows) + "\" style=\"--size:" + size + ";--sheet:url(data:image/png;base64," +
                    io::base64(io::encode_png(sheet)) + ")\">\n<div class=\"pick\">\n" +
                    detail::strip_choice("Above", o.rows, o.above) + detail::strip_choice("Below", o.rows, o.below);
  if (draws > 1)
    out += "<label>Noise <input type=\"range\" min=\"0\" max=\"" + std::to_string(draws - 1) +
           "\" value=\"0\" step=\"1\"></label>\n";
  out += "</div>\n<div class=\"cells\" role=\"img\" aria-label=\"" + io::xml_text(o.title) + "\">\n";
  const auto part = [](std::int64_t i, std::int64_t n) {
    return n > 1 ? io::compact(100 * static_cast<double>(i) / static_cast<double>(n - 1), 6) + "%" : std::string("0%");
  };
  for (std::int64_t c = 0; c < columns; ++c) {
    const std::string above = part(c, wide) + " " + part(o.above, rows),
                      below = part(c, wide) + " " + part(o.below, rows);
    const auto box = [](const std::string& at) { return "<i style=\"background-position:" + at + "\"></i>"; };
    out += "<div class=\"cell\">" + box(above) + box(below) + box(above + "," + below) + "<span>" +
           io::xml_text(o.columns[static_cast<std::size_t>(c)]) + "</span></div>\n";
  }
  return out + "</div>\n<script>" + detail::strip_script + "</script>\n</div>\n";
}

}  // namespace hypersd::report
