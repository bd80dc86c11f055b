// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

/// \file
/// Escaping and number formatting shared by the text formats. All functions are pure and locale-independent.

namespace hypersd::io {

/// Whether `text` is well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
inline bool valid_utf8(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    std::size_t extra = 0;
    unsigned low = 0x80, high = 0xBF;  // range of the byte after the lead
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if (lead >= 0xC2 && lead <= 0xDF) {
      extra = 1;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      extra = 2;
      if (lead == 0xE0) low = 0xA0;
      if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      extra = 3;
      if (lead == 0xF0) low = 0x90;
      if (lead == 0xF4) high = 0x8F;
    } else {
      return false;
    }
    if (text.size() - i <= extra) return false;
    for (std::size_t k = 1; k <= extra; ++k) {
      const auto c = static_cast<unsigned char>(text[i + k]);
      if (c < low || c > high) return false;
      low = 0x80;
      high = 0xBF;
    }
    i += extra + 1;
  }
  return true;
}

/// `text` in single quotes for an error message: control and non-ASCII bytes as `\xNN`, at most `limit` bytes.
inline std::string in_quotes(std::string_view text, std::size_t limit = 120) {
  std::string out = "'";
  for (std::size_t i = 0; i < text.size() && i < limit; ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c < 0x7F) {
      out += static_cast<char>(c);
    } else {
      std::array<char, 8> hex{};
      std::snprintf(hex.data(), hex.size(), "\\x%02x", static_cast<unsigned>(c));
      out += hex.data();
    }
  }
  if (text.size() > limit) out += "...";
  return out + "'";
}

/// `text` as a JSON string literal with its quotes. If it is not valid UTF-8, its non-ASCII bytes become U+FFFD.
inline std::string json_string(std::string_view text) {
  const bool utf8 = valid_utf8(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      std::array<char, 8> hex{};
      std::snprintf(hex.data(), hex.size(), "\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      out += hex.data();
    } else if (static_cast<unsigned char>(c) >= 0x80 && !utf8) {
      out += "\xEF\xBF\xBD";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

/// `text` safe inside HTML, XML and their attribute values. Bytes that XML cannot hold become U+FFFD.
inline std::string xml_text(std::string_view text) {
  const bool utf8 = valid_utf8(text);
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default:
        if ((u < 0x20 && c != '\n' && c != '\t') || u == 0x7F || (u >= 0x80 && !utf8)) {
          out += "\xEF\xBF\xBD";
        } else {
          out += c;
        }
    }
  }
  return out;
}

/// Shortest decimal that reads back as the same double; `nan`, `inf`, `-inf` for the rest.
inline std::string number(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  std::array<char, 40> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), x).ptr;
  return {text.data(), end};
}

/// `x` with `digits` decimals, e.g. `fixed(2.5, 2)` is `2.50`.
inline std::string fixed(double x, int digits) {
  if (!std::isfinite(x)) return number(x);
  std::array<char, 400> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), x, std::chars_format::fixed, digits).ptr;
  return {text.data(), end};
}

/// `x` with about `digits` significant digits and no trailing zeros, e.g. `0.0123`, `1.2e-07`, `480`.
inline std::string compact(double x, int digits = 4) {
  if (!std::isfinite(x)) return number(x);
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), x, std::chars_format::general, digits).ptr;
  return {text.data(), end};
}

/// A duration as `0:07`, `12:30` or `3:04:05`.
inline std::string duration(double seconds) {
  if (!(seconds >= 0) || seconds > 3.6e8) return "-:--";
  const auto s = std::int64_t{std::llround(seconds)};
  std::array<char, 48> text{};
  if (s >= 3600) {
    std::snprintf(text.data(), text.size(), "%lld:%02lld:%02lld", static_cast<long long>(s / 3600),
                  static_cast<long long>(s / 60 % 60), static_cast<long long>(s % 60));
  } else {
    std::snprintf(text.data(), text.size(), "%lld:%02lld", static_cast<long long>(s / 60),
                  static_cast<long long>(s % 60));
  }
  return text.data();
}

}  // namespace hypersd::io
