// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

/// \file
/// Pieces of PTX text.

namespace ptx {

inline constexpr std::string_view blank = " \t\r\n";

inline std::string_view trimmed(std::string_view s) {
  const auto begin = s.find_first_not_of(blank);
  return begin == s.npos ? std::string_view() : s.substr(begin, s.find_last_not_of(blank) - begin + 1);
}
/// Cuts the first word off.
inline std::string_view word(std::string_view& s) {
  s = trimmed(s);
  const auto end = std::min(s.find_first_of(blank), s.size());
  const auto out = s.substr(0, end);
  s = trimmed(s.substr(end));
  return out;
}
[[noreturn]] inline void fail(const char* what, std::string_view where) {
  throw std::runtime_error("PTX: " + std::string(what) + ": " + std::string(where.substr(0, 200)));
}

/// Parts between commas that are in no brackets.
inline std::vector<std::string_view> list(std::string_view s) {
  std::vector<std::string_view> out;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= s.size(); ++i) {
    if (i < s.size() && (s[i] == '{' || s[i] == '[' || s[i] == '(')) ++depth;
    if (i < s.size() && (s[i] == '}' || s[i] == ']' || s[i] == ')')) --depth;
    if (i < s.size() && !(s[i] == ',' && depth == 0)) continue;
    const auto part = trimmed(s.substr(begin, i - begin));
    if (!part.empty()) out.push_back(part);
    begin = i + 1;
  }
  return out;
}
inline std::string_view inside(std::string_view s) { return s.substr(1, s.size() - 2); }

/// A number as PTX writes it, as bits; nothing if it is none.
inline std::optional<std::uint64_t> literal(std::string_view s) {
  const bool minus = s.starts_with('-');
  if (minus) s.remove_prefix(1);
  if (s.empty() || std::isdigit(static_cast<unsigned char>(s[0])) == 0) return {};
  int base = 10;
  if (s.size() > 2 && s[0] == '0' && std::string_view("xXfFdD").find(s[1]) != s.npos) {
    s.remove_prefix(2);
    base = 16;
  }
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out, base);
  if (error != std::errc() || (end != s.data() + s.size() && *end != 'U')) return {};
  return minus ? 0 - out : out;
}

inline std::size_t aligned(std::size_t n, std::size_t by) { return (n + by - 1) / by * by; }

/// .align A .b8 name[n], or .u64 name.
struct Declaration {
  std::string name;
  std::size_t align = 1, bytes = 0;
  bool open = false;  ///< name[]: as much as the launch gives
};
inline Declaration declaration(std::string_view s) {
  Declaration out;
  std::size_t element = 0;
  bool given = false;
  for (auto w = word(s); !w.empty(); w = word(s)) {
    if (w == ".align") {
      out.align = literal(word(s)).value_or(1);
      given = true;
    } else if (w.starts_with('.')) {
      const auto digits = w.find_first_of("0123456789");
      if (digits != w.npos) element = literal(w.substr(digits)).value_or(0) / 8;
    } else {
      const auto bracket = w.find('[');
      out.name = w.substr(0, bracket);
      out.bytes = element;
      if (bracket != w.npos) {
        const auto n = literal(w.substr(bracket + 1, w.find(']') - bracket - 1));
        out.open = !n;
        out.bytes *= n.value_or(0);
      }
      break;
    }
  }
  if (!given) out.align = std::max<std::size_t>(element, 1);
  return out;
}

}  // namespace ptx
