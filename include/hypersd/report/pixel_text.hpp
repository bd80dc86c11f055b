// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <hypersd/io/image.hpp>
#include <string>
#include <string_view>
#if __has_include(<stb/stb_easy_font.h>)
#include <stb/stb_easy_font.h>  // Debian: libstb-dev
#else
#include <stb_easy_font.h>
#endif

namespace hypersd::report {

/// Height of a line of `draw_text` at scale 1, descenders included, in pixels.
inline constexpr int text_height = 10;

namespace detail {

/// Replaces characters that the font lacks (all but printable ASCII) by question marks.
inline std::string drawable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return out;
}

}  // namespace detail

/// Width of one line of text in pixels at `scale`.
inline int text_width(std::string_view text, int scale = 1) {
  return stb_easy_font_width(detail::drawable(text).data()) * scale;
}

/// Draws one line of ASCII text with its top left corner at (x, y), in the grey `value`. Clipped at the borders.
inline void draw_text(io::Image& image, int x, int y, std::string_view text, int scale = 1, std::uint8_t value = 0) {
  // One letter at a time: a small buffer of rectangles is enough for any text.
  for (const char c : detail::drawable(text)) {
    std::array<char, 2> letter{c, '\0'};
    constexpr int max_quads = 32;
    alignas(16) std::array<char, 64 * max_quads> corners{};
    const int quads =
        stb_easy_font_print(0, 0, letter.data(), nullptr, corners.data(), static_cast<int>(corners.size()));
    for (int q = 0; q < quads; ++q) {
      // Four corners of 16 bytes (x, y, z, colour); the first is the top left, the third the bottom right.
      std::array<float, 2> low{}, high{};
      std::memcpy(low.data(), corners.data() + 64 * q, 8);
      std::memcpy(high.data(), corners.data() + 64 * q + 32, 8);
      const int x0 = std::max(0, x + static_cast<int>(low[0]) * scale);
      const int x1 = std::min(image.width, x + static_cast<int>(high[0]) * scale);
      const int y0 = std::max(0, y + static_cast<int>(low[1]) * scale);
      const int y1 = std::min(image.height, y + static_cast<int>(high[1]) * scale);
      for (int v = y0; v < y1; ++v)
        for (int u = x0; u < x1; ++u) std::fill_n(image.at(u, v), image.channels, value);
    }
    x += stb_easy_font_width(letter.data()) * scale;
  }
}

}  // namespace hypersd::report
