// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/dtype.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/text.hpp>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace hypersd::io {

static_assert(std::endian::native == std::endian::little, "array files are read and written in place: little-endian");

/// Writes tensors as one safetensors file. `add` shares the tensors; `write` writes their content at that time. The
/// bytes do not depend on the order of `add`. Not thread-safe.
class SafetensorsWriter {
 public:
  /// Text by key. Old versions of transformers require `format` = `pt`.
  std::map<std::string, std::string> metadata{{"format", "pt"}};

  /// Adds a tensor (device tensors are copied to the host). Throws FormatError for an invalid or repeated name,
  /// ShapeError for an undefined tensor.
  template <Scalar T, Device D>
  void add(const std::string& name, const Tensor<T, D>& tensor) {
    require<ShapeError>(tensor.defined(), "safetensors: tensor ", in_quotes(name), " is undefined");
    require<FormatError>(name != "__metadata__", "safetensors: '__metadata__' cannot be a tensor's name");
    require<FormatError>(valid_utf8(name), "safetensors: tensor name ", in_quotes(name), " is not valid UTF-8");
    require<FormatError>(names_.insert(name).second, "safetensors: tensor ", in_quotes(name), " was added twice");
    const auto keep = std::make_shared<Tensor<T>>(tensor.template to<Cpu>());
    entries_.push_back({name, dtype_of<T>(), tensor.shape(), static_cast<std::uint64_t>(keep->size()) * sizeof(T),
                        std::shared_ptr<const void>(keep, keep->data())});
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// Name, type and present content of a tensor, in the order of `add`.
  [[nodiscard]] const std::string& name(std::size_t i) const { return entries_[i].name; }
  [[nodiscard]] DType dtype(std::size_t i) const { return entries_[i].dtype; }
  [[nodiscard]] std::span<const std::uint8_t> bytes(std::size_t i) const {
    return {static_cast<const std::uint8_t*>(entries_[i].data.get()), static_cast<std::size_t>(entries_[i].bytes)};
  }

  /// Replaces `path` atomically and durably; with `previous`, the old file stays under that name. Throws IoError (full
  /// disk, no permission) or FormatError (header too long, metadata not UTF-8), naming `path`.
  void write(const std::string& path, const std::string& previous = {}) const {
    const auto order = sorted();
    AtomicFile file(path);
    file.write(header(order, path));
    for (const Entry* e : order)
      if (e->bytes > 0) file.write(e->data.get(), static_cast<std::size_t>(e->bytes));
    file.commit(previous);
  }
  /// The file's bytes.
  [[nodiscard]] std::string to_bytes() const {
    const auto order = sorted();
    std::string out = header(order, "memory");
    for (const Entry* e : order)
      if (e->bytes > 0) out.append(static_cast<const char*>(e->data.get()), static_cast<std::size_t>(e->bytes));
    return out;
  }

 private:
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    std::uint64_t bytes;
    std::shared_ptr<const void> data;
  };

  // Widest elements first: each tensor is aligned for its type.
  [[nodiscard]] std::vector<const Entry*> sorted() const {
    std::vector<const Entry*> order;
    for (const Entry& e : entries_) order.push_back(&e);
    std::sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
      const unsigned wide_a = dtype_bits(a->dtype), wide_b = dtype_bits(b->dtype);
      return wide_a != wide_b ? wide_a > wide_b : a->name < b->name;
    });
    return order;
  }
  // Length field and JSON, padded with blanks to a multiple of 8.
  [[nodiscard]] std::string header(const std::vector<const Entry*>& order, const std::string& path) const {
    std::string json = "{";
    if (!metadata.empty()) {
      json += "\"__metadata__\":{";
      for (const auto& [key, value] : metadata) {
        require<FormatError>(valid_utf8(key) && valid_utf8(value), "cannot write ", in_quotes(path), ": metadata ",
                             in_quotes(key), " is not valid UTF-8");
        json += (json.back() == '{' ? "" : ",") + json_string(key) + ":" + json_string(value);
      }
      json += "}";
    }
    std::uint64_t at = 0;
    for (const Entry* e : order) {
      std::string shape;
      for (const std::int64_t n : e->shape) shape += (shape.empty() ? "" : ",") + std::to_string(n);
      json += (json.size() == 1 ? "" : ",") + json_string(e->name) + ":{\"dtype\":\"" + dtype_name(e->dtype) +
              "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(at) + "," +
              std::to_string(at + e->bytes) + "]}";
      at += e->bytes;
    }
    json += "}";
    json.append((8 - json.size() % 8) % 8, ' ');
    require<FormatError>(json.size() <= 100'000'000, "cannot write ", in_quotes(path), ": a header of ", json.size(),
                         " bytes is above the format's limit");
    std::string out(8, '\0');
    for (std::size_t i = 0; i < 8; ++i)
      out[i] = static_cast<char>(static_cast<unsigned char>(static_cast<std::uint64_t>(json.size()) >> (8 * i)));
    return out + json;
  }

  std::vector<Entry> entries_;
  std::set<std::string> names_;
};

}  // namespace hypersd::io
