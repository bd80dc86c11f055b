// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/file.hpp>
#include <hypersd/io/json.hpp>
#include <initializer_list>
#include <set>
#include <string>
#include <vector>

namespace hypersd::io {

/// Largest file that `read_json` accepts, in bytes.
inline constexpr std::uint64_t json_file_limit = std::uint64_t{8} << 20U;

/// Reads and parses a JSON file. Throws IoError or FormatError naming `path`; files above `json_file_limit` are
/// refused.
inline Json read_json(const std::string& path) {
  const FileHandle file = open_for_reading(path);
  const std::uint64_t size = file_size(file, path);
  require<FormatError>(size <= json_file_limit, in_quotes(path), ": ", size, " bytes are too many for a JSON file (at ",
                       "most ", json_file_limit, ")");
  return Json::parse(read_file(path), in_quotes(path));
}

/// The fields of a JSON object, read by name with a default for each. Every error is a FormatError that names the file,
/// the field and what is needed. Remembers which fields were asked for, see `unknown`.
class JsonFields {
 public:
  /// Refers to `object`, which must live as long. Throws FormatError unless it is an object; `file` is for messages.
  JsonFields(const Json& object, std::string file) : object_(&object), file_(std::move(file)) {
    require<FormatError>(object.as<Json::Object>() != nullptr, in_quotes(file_), ": a JSON object is needed");
  }

  [[nodiscard]] const std::string& file() const { return file_; }
  /// The field, or a null pointer if it is absent or null.
  const Json* find(const std::string& key) {
    known_.insert(key);
    const Json* value = object_->find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  /// Whether the field is there and not null.
  bool has(const std::string& key) { return find(key) != nullptr; }
  /// Whether the field is stated, as null or as something else.
  bool stated(const std::string& key) {
    known_.insert(key);
    return object_->find(key) != nullptr;
  }

  /// A whole number from `least` to `most`.
  std::int64_t whole(const std::string& key, std::int64_t fallback, std::int64_t least = 1,
                     std::int64_t most = std::int64_t{1} << 24) {
    const Json* value = find(key);
    return value == nullptr ? fallback : checked(key, *value, least, most);
  }
  /// A finite number.
  double real(const std::string& key, double fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) refuse(key, "a number is needed");
    return value->number();
  }
  /// true or false.
  bool flag(const std::string& key, bool fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (value->as<bool>() == nullptr) refuse(key, "true or false is needed");
    return *value->as<bool>();
  }
  std::string text(const std::string& key, const std::string& fallback = "") {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (value->as<std::string>() == nullptr) refuse(key, "a text is needed");
    return *value->as<std::string>();
  }
  /// A list of texts of at most 64 entries.
  std::vector<std::string> texts(const std::string& key, std::vector<std::string> fallback) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    std::vector<std::string> out;
    for (const Json& item : list(key, *value, 64)) {
      if (item.as<std::string>() == nullptr) refuse(key, "a list of texts is needed");
      out.push_back(*item.as<std::string>());
    }
    return out;
  }
  /// A list of whole numbers of at most 64 entries.
  std::vector<std::int64_t> wholes(const std::string& key, std::vector<std::int64_t> fallback, std::int64_t least = 1,
                                   std::int64_t most = std::int64_t{1} << 24) {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    std::vector<std::int64_t> out;
    for (const Json& item : list(key, *value, 64)) out.push_back(checked(key, item, least, most));
    return out;
  }
  /// A list of `count` whole numbers; one number stands for a list of equal ones.
  std::vector<std::int64_t> wholes_or_one(const std::string& key, std::int64_t fallback, std::size_t count) {
    const Json* value = find(key);
    if (value == nullptr || value->is_number()) return std::vector<std::int64_t>(count, whole(key, fallback));
    auto out = wholes(key, {});
    if (out.size() != count) refuse(key, std::to_string(count) + " numbers are needed, one for each level");
    return out;
  }

  /// Refuses the field unless it is absent, null or one of `allowed` (compact JSON text such as `"silu"`, `3`,
  /// `false`).
  void require_one_of(const std::string& key, std::initializer_list<const char*> allowed) {
    const Json* value = find(key);
    if (value == nullptr) return;
    std::string list;
    for (const char* text : allowed) {
      if (value->str() == text) return;
      list += (list.empty() ? "" : " or ") + std::string(text);
    }
    refuse(key, "not supported, only " + list);
  }
  /// Marks fields as known that have no effect here.
  void ignore(std::initializer_list<const char*> keys) { known_.insert(keys.begin(), keys.end()); }
  /// Fields that were neither read nor ignored; names that begin with `_` are comments.
  [[nodiscard]] std::vector<std::string> unknown() const {
    std::vector<std::string> out;
    for (const auto& member : *object_->as<Json::Object>())
      if (known_.count(member.first) == 0 && member.first.substr(0, 1) != "_") out.push_back(member.first);
    return out;
  }
  /// Throws FormatError: file, field, its value and `why`.
  [[noreturn]] void refuse(const std::string& key, const std::string& why) const {
    const Json* value = object_->find(key);
    std::string text = value == nullptr ? "absent" : value->str();
    if (text.size() > 80) text = text.substr(0, 77) + "...";
    fail<FormatError>(in_quotes(file_), ": '", key, "' is ", text, ": ", why);
  }

 private:
  std::int64_t checked(const std::string& key, const Json& value, std::int64_t least, std::int64_t most) const {
    const auto* number = value.as<std::int64_t>();
    if (number == nullptr || *number < least || *number > most)
      refuse(key, "whole numbers from " + std::to_string(least) + " to " + std::to_string(most) + " are needed");
    return *number;
  }
  const Json::Array& list(const std::string& key, const Json& value, std::size_t most) const {
    const auto* items = value.as<Json::Array>();
    if (items == nullptr || items->size() > most)
      refuse(key, "a list of at most " + std::to_string(most) + " entries is needed");
    return *items;
  }

  const Json* object_;
  std::string file_;
  std::set<std::string> known_;
};

}  // namespace hypersd::io
