// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/mapped_file.hpp>
#include <hypersd/io/safetensors_index.hpp>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::io {

static_assert(std::endian::native == std::endian::little, "array files are read and written in place: little-endian");

/// How tensors are read from a file.
enum class Access {
  Read,  ///< read() on demand; safe if the file changes meanwhile
  Map    ///< also memory-mapped: `bytes()` is available, its pages are read on first use
};

/// Names and shapes that a file must have, see `SafetensorsFile::require_exactly`.
using NamedShapes = std::vector<std::pair<std::string, Shape>>;

/// A safetensors file opened for reading. The header is checked completely when the file is opened; see
/// `parse_safetensors_header` for the rules. Not copyable. Threads may read at the same time.
class SafetensorsFile {
 public:
  /// Throws IoError (unreadable) or FormatError (not a valid file), both naming `path`.
  explicit SafetensorsFile(std::string path, Access access = Access::Read) : path_(std::move(path)) {
    file_ = open_for_reading(path_);
    size_ = file_size(file_, path_);
    if (access == Access::Map) {
      map_ = MappedFile(file_, path_);
      memory_ = map_.bytes();
      size_ = memory_.size();
    }
    parse();
  }
  /// The same for the bytes of a file in memory; errors name it `label`.
  static SafetensorsFile from_bytes(std::string bytes, std::string label = "memory") {
    return SafetensorsFile(std::move(bytes), std::move(label), 0);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Tensor names in byte order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    out.reserve(index_.tensors.size());
    for (const auto& entry : index_.tensors) out.push_back(entry.first);
    return out;
  }
  [[nodiscard]] std::size_t size() const { return index_.tensors.size(); }
  [[nodiscard]] bool contains(const std::string& name) const { return index_.tensors.count(name) != 0; }
  /// Type, shape and offsets of a tensor. Throws FormatError if it does not exist.
  [[nodiscard]] const TensorInfo& info(const std::string& name) const {
    const auto it = index_.tensors.find(name);
    require<FormatError>(it != index_.tensors.end(), "safetensors file ", in_quotes(path_), " has no tensor ",
                         in_quotes(name));
    return it->second;
  }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return index_.metadata; }
  /// A metadata value, or `fallback` if the key is absent.
  [[nodiscard]] std::string metadata(const std::string& key, const std::string& fallback) const {
    const auto it = index_.metadata.find(key);
    return it == index_.metadata.end() ? fallback : it->second;
  }

  /// The tensor's shape. Throws FormatError if a `Shape` cannot hold it (rank above 6, extents beyond int64).
  [[nodiscard]] Shape shape(const std::string& name) const {
    const TensorInfo& t = info(name);
    const bool held = t.shape.size() <= static_cast<std::size_t>(Shape::max_rank) &&
                      std::all_of(t.shape.begin(), t.shape.end(), [](std::uint64_t n) { return n <= INT64_MAX; });
    const Shape out = held ? Shape(t.shape.begin(), t.shape.end()) : Shape();
    require<FormatError>(held && out.fits(8), where(name), ": the shape is too large for a tensor here (at most ",
                         Shape::max_rank, " axes)");
    return out;
  }

  /// The tensor as it is stored. Throws FormatError if its type is not `T`.
  template <Scalar T>
  [[nodiscard]] Tensor<T> tensor(const std::string& name) const {
    require<FormatError>(info(name).dtype == dtype_of<T>(), where(name), ": ", dtype_name(dtype_of<T>()),
                         " was requested");
    return get<T>(name);
  }
  /// The tensor converted to `T`: floating point to floating point and integers to integers that hold them. Integers
  /// become floating point with `Convert::AnyNumber` only: weights stored as integers are quantised or damaged.
  template <Scalar T>
  [[nodiscard]] Tensor<T> get(const std::string& name, Convert convert = Convert::SameKind) const {
    require_convertible<T>(name, convert);
    Tensor<T> out(shape(name));
    fetch(name, out);
    return out;
  }
  /// Rows [begin, end) of a tensor along its first axis, converted as `get` does. Throws FormatError if it has fewer.
  template <Scalar T>
  [[nodiscard]] Tensor<T> get_rows(const std::string& name, std::int64_t begin, std::int64_t end,
                                   Convert convert = Convert::SameKind) const {
    require_convertible<T>(name, convert);
    const Shape stored = shape(name);
    require<FormatError>(stored.rank() >= 1 && 0 <= begin && begin <= end && end <= stored[0], where(name), ": rows ",
                         begin, " to ", end, " were requested");
    Tensor<T> out(stored.with(0, end - begin));
    fetch(name, out, static_cast<std::size_t>(begin * stored.numel_from(1)));
    return out;
  }
  /// Converts as `get` does, into an existing tensor. Throws FormatError if the shapes differ.
  template <Scalar T>
  void read_into(const std::string& name, const Tensor<T>& out, Convert convert = Convert::SameKind) const {
    require_convertible<T>(name, convert);
    const Shape stored = shape(name);
    require<FormatError>(stored == out.shape(), where(name), ": shape ", out.shape(), " was expected");
    fetch(name, out);
  }
  /// Whether `bytes()` is available.
  [[nodiscard]] bool in_memory() const { return !file_.open() || map_.bytes().data() != nullptr; }
  /// The stored bytes, valid as long as this object. Needs `Access::Map` or `from_bytes`.
  [[nodiscard]] std::span<const std::uint8_t> bytes(const std::string& name) const {
    require<OptionError>(in_memory(), "SafetensorsFile::bytes needs a file opened with Access::Map");
    const TensorInfo& t = info(name);
    return memory_.subspan(static_cast<std::size_t>(data_start_ + t.begin), static_cast<std::size_t>(t.end - t.begin));
  }

  /// Calls f(bytes, count) for the stored bytes of a tensor, block after block.
  template <class F>
  void visit_bytes(const std::string& name, F&& f) const {
    const TensorInfo& t = info(name);
    std::vector<std::uint8_t> block(static_cast<std::size_t>(std::min<std::uint64_t>(t.end - t.begin, 1U << 20U)));
    for (std::uint64_t at = t.begin; at < t.end; at += block.size()) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), t.end - at));
      load(block.data(), count, data_start_ + at);
      f(static_cast<const void*>(block.data()), count);
    }
  }

  /// Throws FormatError unless the file contains exactly the tensors `expected` with these shapes. The message has the
  /// counts and first names of missing, different and unexpected tensors.
  void require_exactly(const NamedShapes& expected) const {
    std::size_t missing = 0, different = 0, known = 0;
    std::string first_missing, first_different, first_unknown;
    std::map<std::string, bool> wanted;
    for (const auto& [name, extents] : expected) {
      wanted[name] = true;
      const auto it = index_.tensors.find(name);
      if (it == index_.tensors.end()) {
        if (missing++ == 0) first_missing = in_quotes(name);
        continue;
      }
      ++known;
      const auto& stored = it->second.shape;
      const bool same = std::equal(stored.begin(), stored.end(), extents.begin(), extents.end(),
                                   [](std::uint64_t a, std::int64_t b) { return a == static_cast<std::uint64_t>(b); });
      if (!same && different++ == 0)
        first_different = in_quotes(name) + " is " + it->second.str() + " instead of " + extents.str();
    }
    const std::size_t unknown = index_.tensors.size() - known;
    if (missing + different + unknown == 0) return;
    for (const auto& entry : index_.tensors)
      if (first_unknown.empty() && wanted.count(entry.first) == 0) first_unknown = in_quotes(entry.first);
    std::string text;
    if (missing > 0) text += "; " + std::to_string(missing) + " missing (first: " + first_missing + ")";
    if (different > 0) text += "; " + std::to_string(different) + " of another shape (first: " + first_different + ")";
    if (unknown > 0) text += "; " + std::to_string(unknown) + " not expected (first: " + first_unknown + ")";
    fail<FormatError>("checkpoint ", in_quotes(path_), " is of another architecture: ", expected.size(),
                      " tensors expected, ", index_.tensors.size(), " there", text);
  }

 private:
  SafetensorsFile(std::string bytes, std::string label, int /*tag*/)
      : path_(std::move(label)), owned_(bytes.begin(), bytes.end()) {
    memory_ = owned_;
    size_ = memory_.size();
    parse();
  }

  void parse() {
    require<FormatError>(size_ >= 8, "safetensors file ", in_quotes(path_), ": truncated, ", size_,
                         " bytes are less than the 8 of the header's length");
    std::uint64_t length = 0;
    load(&length, 8, 0);
    length = safetensors_header_length(length, size_, path_);
    std::string header(static_cast<std::size_t>(length), '\0');
    load(header.data(), header.size(), 8);
    data_start_ = 8 + length;
    index_ = parse_safetensors_header(header, size_ - data_start_, path_);
  }
  void load(void* into, std::size_t count, std::uint64_t offset) const {
    if (!file_.open()) {
      if (count > 0) std::memcpy(into, memory_.data() + offset, count);
      return;
    }
    const std::size_t got = read_at(file_, into, count, offset, path_);
    require<IoError>(got == count, "cannot read ", in_quotes(path_), ": the file shrank while it was read");
  }
  template <Scalar T>
  void require_convertible(const std::string& name, Convert convert) const {
    const DType stored = info(name).dtype;
    if (convertible<T>(stored, convert)) return;
    fail<FormatError>(where(name), ": cannot be converted to ", dtype_name(dtype_of<T>()),
                      convertible<T>(stored, Convert::AnyNumber)
                          ? ": integers become floating point with io::Convert::AnyNumber only"
                          : "");
  }
  template <Scalar T>
  void fetch(const std::string& name, const Tensor<T>& out, std::size_t first = 0) const {
    const TensorInfo& t = info(name);
    const std::size_t item = dtype_bits(t.dtype) / 8;
    const std::uint64_t start = data_start_ + t.begin + first * item;
    const auto total = static_cast<std::size_t>(out.size());
    if (t.dtype == dtype_of<T>()) {
      load(out.data(), total * item, start);
      return;
    }
    // In blocks: the conversion needs no second copy of the tensor.
    std::vector<std::uint8_t> piece(std::size_t{65536} * item);
    for (std::size_t i = 0; i < total; i += 65536) {
      const std::size_t n = std::min<std::size_t>(65536, total - i);
      load(piece.data(), n * item, start + i * item);
      convert_elements(t.dtype, piece.data(), n, out.data() + i, where(name));
    }
  }
  [[nodiscard]] std::string where(const std::string& name) const {
    return "safetensors file " + in_quotes(path_) + ": tensor " + in_quotes(name) + " " + info(name).str();
  }

  std::string path_;
  FileHandle file_;
  MappedFile map_;
  std::vector<std::uint8_t> owned_;
  std::span<const std::uint8_t> memory_;
  std::uint64_t size_ = 0, data_start_ = 0;
  SafetensorsIndex index_;
};

}  // namespace hypersd::io
