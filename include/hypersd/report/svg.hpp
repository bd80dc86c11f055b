// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/io/text.hpp>
#include <string>
#include <string_view>

/// \file
/// Parts shared by the SVG drawings of plots and image grids.

namespace hypersd::report::detail {

/// Estimated width in pixels of one line of UTF-8 `text` in a proportional font of `size` pixels.
inline double svg_text_width(std::string_view text, double size) {
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; };
  const auto letters = static_cast<std::int64_t>(text.size()) - std::count_if(text.begin(), text.end(), continues);
  return 0.58 * size * static_cast<double>(letters);
}

/// The root element with its style and background: dark text on white, or light on dark where the reader's browser
/// prefers a dark scheme. `label` describes the drawing to screen readers.
inline std::string svg_open(const std::string& kind, int width, int height, std::string_view label) {
  const std::string w = std::to_string(width), h = std::to_string(height);
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"" + kind + "\" viewBox=\"0 0 " + w + " " + h +
         "\" width=\"" + w + "\" height=\"" + h + "\" role=\"img\" aria-label=\"" + io::xml_text(label) + "\">\n" +
         "<style>." + kind + "{color:#1f2937;font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}." + kind +
         " text{fill:currentColor}." + kind + " .soft{opacity:.68}." + kind + " .paper{fill:#fff}" +
         "@media(prefers-color-scheme:dark){." + kind + "{color:#e5e7eb}." + kind + " .paper{fill:#181c25}}</style>\n" +
         "<rect class=\"paper\" width=\"" + w + "\" height=\"" + h + "\"/>\n";
}

/// One line of text with its baseline at (x, y) and further attributes.
inline std::string svg_text(double x, double y, std::string_view text, const std::string& attributes = {}) {
  return "<text x=\"" + io::fixed(x, 1) + "\" y=\"" + io::fixed(y, 1) + "\"" + (attributes.empty() ? "" : " ") +
         attributes + ">" + io::xml_text(text) + "</text>\n";
}

}  // namespace hypersd::report::detail
