// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace hypersd::io {

/// Kind of a JSON number: `12` is unsigned, `-3` and `-0` are negative integers, all others are real.
enum class JsonNumber { Unsigned, Negative, Real };

/// Event parser of strict JSON (RFC 8259): calls a handler, does not recurse and builds no values.
///
/// The handler has `bool null()`, `boolean(bool)`, `number(JsonNumber, uint64_t value, string_view text)` (the value
/// is that of unsigned ones; those beyond 64 bits count as real), `string(std::string&)`, `key(std::string&)`,
/// `start_object()`, `end_object()`, `start_array()`, `end_array()`; false stops the parser. The text must be valid
/// UTF-8. Memory grows with the nesting depth only; the handler may refuse depth.
///
/// docs/design.md says why it is not nlohmann's.
template <class Handler>
class JsonEvents {
 public:
  JsonEvents(std::string_view text, Handler& handler) : text_(text), handler_(&handler) {}

  /// True if the whole text is one value and no call of the handler returned false. Otherwise `error()` and
  /// `position()` describe the fault in the text; the error is empty if the handler stopped.
  bool parse() {
    blanks();
    if (!value()) return false;
    while (!open_.empty()) {
      if (!next_member()) return false;
    }
    blanks();
    return at_ == text_.size() || wrong("text after the value");
  }
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] std::size_t position() const { return at_; }

 private:
  // After a complete value inside a container, or just after an opening bracket: closes it or reads what follows.
  bool next_member() {
    const bool object = open_.back();
    blanks();
    if (take(object ? '}' : ']')) {
      open_.pop_back();
      fresh_ = false;
      return object ? handler_->end_object() : handler_->end_array();
    }
    if (!fresh_) {
      if (!take(',')) return wrong(object ? "',' or '}' expected" : "',' or ']' expected");
      blanks();
    }
    fresh_ = false;
    if (object) {
      if (!string(buffer_) || !handler_->key(buffer_)) return false;
      blanks();
      if (!take(':')) return wrong("':' expected");
      blanks();
    }
    return value();
  }
  bool value() {
    if (at_ == text_.size()) return wrong("the text ends where a value is due");
    const char c = text_[at_];
    if (c == '{' || c == '[') {
      ++at_;
      open_.push_back(c == '{');
      fresh_ = true;
      return c == '{' ? handler_->start_object() : handler_->start_array();
    }
    if (c == '"') return string(buffer_) && handler_->string(buffer_);
    if (c == '-' || (c >= '0' && c <= '9')) return number();
    if (word("null")) return handler_->null();
    if (word("true")) return handler_->boolean(true);
    if (word("false")) return handler_->boolean(false);
    return wrong("a value expected");
  }
  bool number() {
    const std::size_t begin = at_;
    bool real = false;
    const bool negative = take('-');
    if (!take('0') && !digits()) return wrong("a digit expected");
    if (take('.')) {
      real = true;
      if (!digits()) return wrong("a digit expected");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      real = true;
      if (!take('+')) take('-');
      if (!digits()) return wrong("a digit expected");
    }
    const std::string_view spelling = text_.substr(begin, at_ - begin);
    std::uint64_t number = 0;
    if (!real && !negative) {
      const auto result = std::from_chars(spelling.data(), spelling.data() + spelling.size(), number);
      real = result.ec != std::errc();
    }
    const JsonNumber kind = real ? JsonNumber::Real : negative ? JsonNumber::Negative : JsonNumber::Unsigned;
    return handler_->number(kind, kind == JsonNumber::Unsigned ? number : 0, spelling);
  }
  bool string(std::string& out) {
    out.clear();
    if (!take('"')) return wrong("'\"' expected");
    for (;;) {
      if (at_ == text_.size()) return wrong("the text ends inside a string");
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return wrong("a control character in a string");
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return false;
      }
    }
  }
  bool escape(std::string& out) {
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    constexpr std::string_view from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
    const std::size_t simple = c == '\0' ? std::string_view::npos : from.find(c);
    if (simple != std::string_view::npos) {
      out += to[simple];
      return true;
    }
    std::uint32_t code = 0, low = 0;
    if (c != 'u' || !hex4(code)) return wrong("a wrong escape in a string");
    if (code >= 0xDC00 && code <= 0xDFFF) return wrong("half of a surrogate pair");
    if (code >= 0xD800 && code <= 0xDBFF) {
      if (!take('\\') || !take('u') || !hex4(low) || low < 0xDC00 || low > 0xDFFF)
        return wrong("half of a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
    }
    append_utf8(out, code);
    return true;
  }
  bool hex4(std::uint32_t& out) {
    if (text_.size() - at_ < 4) return false;
    const char* begin = text_.data() + at_;
    const auto result = std::from_chars(begin, begin + 4, out, 16);
    if (result.ec != std::errc() || result.ptr != begin + 4 || *begin == '-') return false;
    at_ += 4;
    return true;
  }
  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto byte = [&](std::uint32_t bits) { out += static_cast<char>(static_cast<unsigned char>(bits)); };
    if (code < 0x80) {
      byte(code);
    } else if (code < 0x800) {
      byte(0xC0U | (code >> 6U));
      byte(0x80U | (code & 0x3FU));
    } else if (code < 0x10000) {
      byte(0xE0U | (code >> 12U));
      byte(0x80U | ((code >> 6U) & 0x3FU));
      byte(0x80U | (code & 0x3FU));
    } else {
      byte(0xF0U | (code >> 18U));
      byte(0x80U | ((code >> 12U) & 0x3FU));
      byte(0x80U | ((code >> 6U) & 0x3FU));
      byte(0x80U | (code & 0x3FU));
    }
  }
  bool digits() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return at_ > begin;
  }
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
      ++at_;
  }
  bool take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view w) {
    if (text_.substr(at_, w.size()) != w) return false;
    at_ += w.size();
    return true;
  }
  bool wrong(const char* what) {
    error_ = what;
    return false;
  }

  std::string_view text_;
  Handler* handler_;
  std::size_t at_ = 0;
  std::vector<bool> open_;  // containers that are open: true for objects
  bool fresh_ = false;      // nothing has been read in the innermost one
  std::string buffer_, error_;
};

}  // namespace hypersd::io
