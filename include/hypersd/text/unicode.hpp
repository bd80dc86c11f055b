// SPDX-License-Identifier: Apache-2.0
#pragma once

#if !__has_include(<utf8proc.h>)
#error "hypersd/text needs utf8proc (Debian: libutf8proc-dev), linked with -lutf8proc"
#endif
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/io/text.hpp>
#include <string>
#include <string_view>

/// \file
/// The properties of Unicode that tokenizers need, by utf8proc. Its version decides about characters that are newer
/// than Unicode 14.

namespace hypersd::text {

/// Classes of code points that tokenizers distinguish: general categories L*, N*, the property White_Space, the rest.
enum class CharClass : std::uint8_t { letter, number, space, other };

/// Whether `c` has the property White_Space. U+001C to U+001F, U+200B and U+FEFF do not.
inline bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/// The class of a code point. Combining marks (M*) are `other`.
inline CharClass char_class(char32_t c) {
  if (c < 0x80) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return CharClass::letter;
    if (c >= '0' && c <= '9') return CharClass::number;
    return is_white_space(c) ? CharClass::space : CharClass::other;
  }
  if (is_white_space(c)) return CharClass::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return CharClass::letter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return CharClass::number;
    default: return CharClass::other;
  }
}

/// The code points of `text`. Throws FormatError for malformed UTF-8 (overlong forms and surrogates included), naming
/// the first byte that is wrong.
inline std::u32string decode_utf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      out += static_cast<char32_t>(text[at++]);
      continue;
    }
    utf8proc_int32_t c = -1;
    const auto* from = reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at);
    const utf8proc_ssize_t bytes = utf8proc_iterate(from, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    require<FormatError>(bytes > 0, "text ", io::in_quotes(text), ": byte ", at, " is not valid UTF-8");
    out += static_cast<char32_t>(c);
    at += static_cast<std::size_t>(bytes);
  }
  return out;
}

/// Appends the UTF-8 bytes of `c`, a Unicode scalar value.
inline void append_utf8(std::string& out, char32_t c) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes.data());
  out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(count));
}

namespace detail {

/// Canonical decomposition of `text`, marks between two starters sorted by their combining class.
inline std::basic_string<utf8proc_int32_t> decompose(std::u32string_view text) {
  std::basic_string<utf8proc_int32_t> out;
  std::array<utf8proc_int32_t, 16> piece{};
  for (const char32_t c : text) {
    int boundary = 0;
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), piece.data(),
                                               static_cast<utf8proc_ssize_t>(piece.size()),
                                               static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE), &boundary);
    out.append(piece.data(), static_cast<std::size_t>(count));
  }
  const auto order = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  const auto starter = [&](utf8proc_int32_t c) { return order(c) == 0; };
  for (auto begin = std::find_if_not(out.begin(), out.end(), starter); begin != out.end();) {
    const auto end = std::find_if(begin, out.end(), starter);
    std::stable_sort(begin, end, [&](utf8proc_int32_t a, utf8proc_int32_t b) { return order(a) < order(b); });
    begin = std::find_if_not(end, out.end(), starter);
  }
  return out;
}

}  // namespace detail

/// The canonical composition (NFC) of `text`, in O(n log n): utf8proc_map would take quadratic time for some texts.
inline std::u32string nfc(std::u32string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x300; })) return std::u32string(text);
  // utf8proc 2.8 drops U+11A7 after a Hangul syllable: it is the base that trailing consonants are counted from, and
  // not one of them. It composes with nothing, so the text is composed in parts around it.
  constexpr char32_t before_trailing = 0x11A7;
  std::u32string out;
  for (;;) {
    const std::u32string_view part = text.substr(0, text.find(before_trailing));
    auto points = detail::decompose(part);
    const auto length = utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    out.append(points.begin(), points.begin() + length);
    if (part.size() == text.size()) return out;
    out += before_trailing;
    text.remove_prefix(part.size() + 1);
  }
}

/// Appends the lower case of `c` by Unicode's full mapping without context: a final sigma is no exception, and U+0130
/// becomes two code points.
inline void append_lower(std::u32string& out, char32_t c) {
  if (c < 0x80) {
    out += c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
  } else if (c == 0x130) {
    out += U"i\u0307";
  } else {
    out += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  }
}

}  // namespace hypersd::text
