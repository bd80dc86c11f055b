// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/io/dtype.hpp>
#include <hypersd/io/json_events.hpp>
#include <hypersd/io/text.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// \file
/// The header of a safetensors file (huggingface/safetensors, README "Format"): u64 length, JSON, data. Rejects all
/// that the reference parser rejects, and duplicate keys, which the format forbids.

namespace hypersd::io {

/// Largest header that the format allows, in bytes.
inline constexpr std::uint64_t safetensors_header_limit = 100'000'000;
/// Deepest nesting of the JSON header.
inline constexpr int safetensors_nesting_limit = 128;

/// One tensor of a file. The shape is as stored: any rank, any unsigned extents.
struct TensorInfo {
  DType dtype = DType::F32;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0;  ///< first byte, counted from the start of the data
  std::uint64_t end = 0;    ///< one past the last byte

  /// Text such as `F32 [2, 3]`; more than 16 extents are abbreviated.
  [[nodiscard]] std::string str() const {
    std::string out = std::string(dtype_name(dtype)) + " [";
    for (std::size_t i = 0; i < shape.size() && i < 16; ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
    return out + (shape.size() > 16 ? ", ...]" : "]");
  }
};

/// The parsed header, tensors by name.
struct SafetensorsIndex {
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

namespace detail {

/// Receives JSON events. A returned false stops the parser; `error` then holds the reason.
/// Depth 1 is the header's object, depth 2 one entry, depth 3 a list within an entry.
class SafetensorsHandler {
 public:
  SafetensorsIndex index;
  std::string error;

  bool null() { return (depth_ == 1 && key_ == metadata_name) || scalar("null"); }
  bool boolean(bool /*value*/) { return scalar("a boolean"); }
  bool number(JsonNumber kind, std::uint64_t value, std::string_view text) {
    if (skip_ || list_ == nullptr || kind != JsonNumber::Unsigned) return scalar("the number " + in_quotes(text, 40));
    if (list_ == &offsets_ && offsets_.size() == 2) return refuse("data_offsets has more than two numbers");
    list_->push_back(value);
    return true;
  }
  bool string(std::string& value) {
    if (skip_ || depth_ != 2) return scalar("a string");
    if (in_metadata_)
      return index.metadata.emplace(field_, value).second || refuse("key " + in_quotes(field_) + " occurs twice");
    if (field_ != "dtype") return scalar("a string");
    return find_dtype(value, info_.dtype) || refuse("unknown dtype " + in_quotes(value));
  }

  bool start_object() {
    if (!descend()) return false;
    if (skip_ || depth_ == 1) return true;
    if (depth_ > 2) return refuse("field " + in_quotes(field_) + " holds an object");
    in_metadata_ = key_ == metadata_name;
    info_ = {};
    offsets_.clear();
    fields_.clear();
    return true;
  }
  bool end_object() {
    if (!skip_ && depth_ == 2 && !in_metadata_ && !finish_tensor()) return false;
    ascend();
    return true;
  }
  bool start_array() {
    if (!descend()) return false;
    if (skip_) return true;
    if (depth_ == 1) return refuse("the header is a list instead of an object");
    if (depth_ == 2) return refuse("the entry is a list instead of an object");
    if (depth_ == 3 && !in_metadata_ && field_ == "shape") list_ = &info_.shape;
    if (depth_ == 3 && !in_metadata_ && field_ == "data_offsets") list_ = &offsets_;
    return (depth_ == 3 && list_ != nullptr) || refuse("field " + in_quotes(field_) + " holds a list");
  }
  bool end_array() {
    list_ = nullptr;
    ascend();
    return true;
  }
  bool key(std::string& name) {
    if (skip_) return true;
    if (depth_ == 1) {
      key_ = name;
      return names_.insert(name).second || refuse("the name occurs twice");
    }
    field_ = name;
    if (in_metadata_) return true;
    skip_ = name != "dtype" && name != "shape" && name != "data_offsets";
    return skip_ || fields_.insert(name).second || refuse("field " + in_quotes(name) + " occurs twice");
  }

 private:
  static constexpr const char* metadata_name = "__metadata__";

  bool descend() { return ++depth_ <= safetensors_nesting_limit || refuse("the header is nested too deeply"); }
  void ascend() {
    if (--depth_ == 2) skip_ = false;
  }
  bool scalar(const std::string& what) {
    if (skip_) {
      if (depth_ == 2) skip_ = false;
      return true;
    }
    if (depth_ == 0) return refuse("the header is " + what + " instead of an object");
    if (depth_ == 1) return refuse("the entry is " + what + " instead of an object");
    return refuse("field " + in_quotes(field_) + " holds " + what);
  }
  bool refuse(const std::string& why) {
    error = names_.empty() ? why : "tensor " + in_quotes(key_) + ": " + why;
    return false;
  }
  bool finish_tensor() {
    for (const char* field : {"dtype", "shape", "data_offsets"})
      if (fields_.count(field) == 0) return refuse(std::string("field '") + field + "' is missing");
    if (offsets_.size() != 2) return refuse("data_offsets is not a pair of numbers");
    info_.begin = offsets_[0];
    info_.end = offsets_[1];
    std::uint64_t count = 1;
    for (const std::uint64_t n : info_.shape)
      if (__builtin_mul_overflow(count, n, &count)) return refuse("the shape of " + info_.str() + " overflows");
    if (__builtin_mul_overflow(count, std::uint64_t{dtype_bits(info_.dtype)}, &count))
      return refuse("the size of " + info_.str() + " overflows");
    if (count % 8 != 0) return refuse(info_.str() + " is not a whole number of bytes");
    if (info_.begin > info_.end || info_.end - info_.begin != count / 8)
      return refuse(info_.str() + " takes " + std::to_string(count / 8) + " bytes but data_offsets is [" +
                    std::to_string(info_.begin) + ", " + std::to_string(info_.end) + "]");
    index.tensors.emplace(key_, std::move(info_));
    return true;
  }

  int depth_ = 0;
  bool skip_ = false;  // inside the value of an unknown field
  bool in_metadata_ = false;
  std::string key_, field_;
  std::set<std::string> names_, fields_;
  TensorInfo info_;
  std::vector<std::uint64_t> offsets_;
  std::vector<std::uint64_t>* list_ = nullptr;
};

/// Throws FormatError unless the tensors cover the data without hole, overlap or rest.
inline void require_tiling(const SafetensorsIndex& index, std::uint64_t data_bytes, const std::string& file) {
  using Entry = std::pair<const std::string, TensorInfo>;
  std::vector<const Entry*> order;
  order.reserve(index.tensors.size());
  for (const Entry& entry : index.tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t at = 0;
  for (const Entry* entry : order) {
    require<FormatError>(entry->second.begin == at, "safetensors file ", in_quotes(file), ": tensor ",
                         in_quotes(entry->first), " ", entry->second.str(), " begins at byte ", entry->second.begin,
                         " of the data instead of ", at, " (", entry->second.begin > at ? "a hole" : "an overlap", ")");
    at = entry->second.end;
  }
  require<FormatError>(at <= data_bytes, "safetensors file ", in_quotes(file), ": truncated, its tensors take ", at,
                       " bytes but ", data_bytes, " are there");
  require<FormatError>(at == data_bytes, "safetensors file ", in_quotes(file), ": ", data_bytes - at,
                       " bytes follow the last tensor");
}

}  // namespace detail

/// Checks the length field against the file. Returns the header's length. Throws FormatError naming `file`.
inline std::uint64_t safetensors_header_length(std::uint64_t length_field, std::uint64_t file_bytes,
                                               const std::string& file) {
  require<FormatError>(length_field <= safetensors_header_limit, "safetensors file ", in_quotes(file),
                       ": the header's length of ", length_field, " bytes is above the limit of ",
                       safetensors_header_limit);
  require<FormatError>(length_field <= file_bytes - 8, "safetensors file ", in_quotes(file),
                       ": truncated, the header takes ", length_field, " bytes but ", file_bytes - 8,
                       " follow its length");
  return length_field;
}

/// Parses the JSON `header` of a file whose data part has `data_bytes` bytes. Throws FormatError naming `file` and,
/// where there is one, the tensor.
inline SafetensorsIndex parse_safetensors_header(std::string_view header, std::uint64_t data_bytes,
                                                 const std::string& file) {
  const std::string where = "safetensors file " + in_quotes(file) + ": ";
  require<FormatError>(valid_utf8(header), where, "the header is not valid UTF-8");
  require<FormatError>(header.substr(0, 3) != "\xEF\xBB\xBF", where, "the header begins with a byte order mark");
  detail::SafetensorsHandler handler;
  JsonEvents json(header, handler);
  const bool ok = json.parse();
  require<FormatError>(ok || json.error().empty(), where, "the header is not valid JSON at byte ", json.position(),
                       ": ", json.error());
  require<FormatError>(ok, where, handler.error);
  detail::require_tiling(handler.index, data_bytes, file);
  return std::move(handler.index);
}

}  // namespace hypersd::io
