// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/io/json_events.hpp>
#include <hypersd/io/text.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace hypersd::io {

/// Deepest nesting of lists and objects that `Json::parse` accepts.
inline constexpr int json_nesting_limit = 64;

/// A value of a JSON file such as a configuration. Objects are sorted by key.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  /// null.
  Json() = default;
  Json(std::same_as<bool> auto value) : value_(value) {}   // NOLINT(google-explicit-constructor)
  Json(std::int64_t value) : value_(value) {}              // NOLINT(google-explicit-constructor)
  Json(double value) : value_(value) {}                    // NOLINT(google-explicit-constructor)
  Json(std::string value) : value_(std::move(value)) {}    // NOLINT(google-explicit-constructor)
  Json(const char* value) : value_(std::string(value)) {}  // NOLINT(google-explicit-constructor)
  Json(Array items) : value_(std::move(items)) {}          // NOLINT(google-explicit-constructor)
  /// Throws FormatError for a key that occurs twice.
  Json(Object list) {  // NOLINT(google-explicit-constructor)
    const auto by_key = [](const Member& a, const Member& b) { return a.first < b.first; };
    if (!std::is_sorted(list.begin(), list.end(), by_key)) std::sort(list.begin(), list.end(), by_key);
    const auto twice = std::adjacent_find(list.begin(), list.end(),
                                          [](const Member& a, const Member& b) { return a.first == b.first; });
    require<FormatError>(twice == list.end(), "key ", in_quotes(twice == list.end() ? "" : twice->first),
                         " occurs twice");
    value_ = std::make_shared<const Object>(std::move(list));
  }

  /// Parses strict JSON: one value, valid UTF-8, no key twice in an object, no number beyond double. Throws
  /// FormatError that starts with `where`.
  static Json parse(std::string_view text, const std::string& where);

  /// The value as one of null (`std::monostate`), bool, std::int64_t (whole numbers), double (all other numbers),
  /// std::string, `Array`, `Object`; a null pointer if it is of another kind.
  template <class T>
  [[nodiscard]] const T* as() const {
    if constexpr (std::same_as<T, Object>) {
      const auto* object = std::get_if<Shared>(&value_);
      return object != nullptr ? object->get() : nullptr;
    } else {
      return std::get_if<T>(&value_);
    }
  }
  [[nodiscard]] bool is_null() const { return as<std::monostate>() != nullptr; }
  [[nodiscard]] bool is_number() const { return as<std::int64_t>() != nullptr || as<double>() != nullptr; }
  /// A number as double; NaN for other kinds.
  [[nodiscard]] double number() const {
    if (const auto* whole = as<std::int64_t>()) return static_cast<double>(*whole);
    const auto* real = as<double>();
    return real != nullptr ? *real : std::nan("");
  }
  /// The member of that name; a null pointer if there is none or this is not an object.
  [[nodiscard]] const Json* find(std::string_view key) const {
    const auto* members = as<Object>();
    if (members == nullptr) return nullptr;
    const auto at = std::lower_bound(members->begin(), members->end(), key,
                                     [](const Member& m, std::string_view k) { return m.first < k; });
    return at != members->end() && at->first == key ? &at->second : nullptr;
  }
  /// The member of that name as a T. Throws FormatError that starts with `where` if it is missing or of another kind.
  template <class T>
  [[nodiscard]] const T& member(const std::string& key, const std::string& where) const {
    const Json* value = find(key);
    require<FormatError>(value != nullptr && value->as<T>() != nullptr, where, ": no '", key,
                         "', or of another kind than expected");
    return *value->as<T>();
  }
  /// JSON text on one line or, with `indent` > 0 blanks a level, with a line for each item and member. Throws
  /// FormatError for a number that is not finite.
  [[nodiscard]] std::string str(int indent = 0) const {
    std::string out;
    write(out, indent, 0);
    return out;
  }
  bool operator==(const Json& other) const {
    const auto *a = as<Object>(), *b = other.as<Object>();
    return a != nullptr && b != nullptr ? *a == *b : value_ == other.value_;
  }

 private:
  using Shared = std::shared_ptr<const Object>;  // nvcc refuses the vector itself: `Json` is not complete here

  void write(std::string& out, int indent, int level) const {
    if (is_null()) out += "null";
    if (const auto* b = as<bool>()) out += *b ? "true" : "false";
    if (const auto* n = as<std::int64_t>()) out += std::to_string(*n);
    if (const auto* x = as<double>()) {
      require<FormatError>(std::isfinite(*x), "JSON has no number ", *x);
      out += io::number(*x);
    }
    if (const auto* s = as<std::string>()) out += json_string(*s);
    if (const auto* items = as<Array>())
      write_list(out, indent, level, "[]", *items, [&](const Json& item) { item.write(out, indent, level + 1); });
    if (const auto* members = as<Object>())
      write_list(out, indent, level, "{}", *members, [&](const Member& m) {
        out += json_string(m.first) + ": ";
        m.second.write(out, indent, level + 1);
      });
  }
  template <class List, class WriteOne>
  static void write_list(std::string& out, int indent, int level, std::string_view brackets, const List& list,
                         const WriteOne& write_one) {
    const auto new_line = [&](int to) { out += '\n' + std::string(static_cast<std::size_t>(to * indent), ' '); };
    out += brackets[0];
    for (const auto& one : list) {
      if (&one != list.data()) out += indent > 0 ? "," : ", ";
      if (indent > 0) new_line(level + 1);
      write_one(one);
    }
    if (indent > 0 && !list.empty()) new_line(level);
    out += brackets[1];
  }

  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Shared> value_;
};

namespace detail {

/// Builds a `Json` from events.
class JsonBuilder {
 public:
  Json result;
  std::string error;

  bool null() { return put(Json()); }
  bool boolean(bool value) { return put(Json(value)); }
  bool number(JsonNumber kind, std::uint64_t value, std::string_view text) {
    if (kind == JsonNumber::Unsigned && value <= INT64_MAX) return put(Json(static_cast<std::int64_t>(value)));
    std::int64_t whole = 0;
    const char* end = text.data() + text.size();
    if (kind == JsonNumber::Negative && std::from_chars(text.data(), end, whole).ec == std::errc())
      return put(Json(whole));
    double real = 0;
    if (std::from_chars(text.data(), end, real).ec != std::errc()) {
      error = "the number " + in_quotes(text, 40) + " is out of range";
      return false;
    }
    return put(Json(real));
  }
  bool string(std::string& value) { return put(Json(value)); }
  bool key(std::string& name) {
    open_.back().key = name;
    return true;
  }
  bool start_object() { return open(true); }
  bool start_array() { return open(false); }
  bool end_object() {
    try {
      return close();
    } catch (const FormatError& twice) {
      error = twice.what();
      return false;
    }
  }
  bool end_array() { return close(); }

 private:
  struct Container {
    bool object = false;
    std::string key;
    Json::Array items;
    Json::Object members;
  };

  bool open(bool object) {
    if (open_.size() == json_nesting_limit) {
      error = "the text is nested more than " + std::to_string(json_nesting_limit) + " deep";
      return false;
    }
    open_.emplace_back();
    open_.back().object = object;
    return true;
  }
  bool close() {
    Container done = std::move(open_.back());
    open_.pop_back();
    return put(done.object ? Json(std::move(done.members)) : Json(std::move(done.items)));
  }
  bool put(Json value) {
    if (open_.empty())
      result = std::move(value);
    else if (open_.back().object)
      open_.back().members.emplace_back(std::move(open_.back().key), std::move(value));
    else
      open_.back().items.push_back(std::move(value));
    return true;
  }

  std::vector<Container> open_;
};

}  // namespace detail

inline Json Json::parse(std::string_view text, const std::string& where) {
  require<FormatError>(valid_utf8(text), where, ": not valid UTF-8");
  detail::JsonBuilder builder;
  JsonEvents events(text, builder);
  if (!events.parse())
    fail<FormatError>(where, ": not valid JSON at byte ", events.position(), ": ",
                      events.error().empty() ? builder.error : events.error());
  return std::move(builder.result);
}

}  // namespace hypersd::io
