// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/core/constant_tensor.hpp>
#include <hypersd/io/safetensors.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::io::formats {

/// The part of a stored tensor that one tensor of a network is made of.
struct StoredTensor {
  std::string name;         ///< name in the file
  int part = 0, parts = 1;  ///< rows [part, part + 1) / parts of its first axis (fused query, key and value)
  bool transposed = false;  ///< stored as [in, out]
};

/// Tensors of one or several safetensors files under the names of a network. Copies share the files. A source for
/// `nn::load_state_dict`.
class TensorTable {
 public:
  TensorTable() = default;
  /// All tensors of one file. Throws IoError or FormatError naming it.
  explicit TensorTable(const std::string& path, Access access = Access::Read) { add_file(path, access); }

  /// Adds all tensors of a file. Throws FormatError for a tensor that is there already.
  void add_file(const std::string& path, Access access = Access::Read) {
    const auto file = std::make_shared<const SafetensorsFile>(path, access);
    for (const std::string& name : file->names()) add(file, name);
  }
  /// Adds one tensor of an open file under its own name. Throws FormatError for a tensor that is there already.
  void add(std::shared_ptr<const SafetensorsFile> file, const std::string& name) {
    const auto [at, added] = entries_.try_emplace(name, Entry{std::move(file), {name}});
    require<FormatError>(added, "tensor ", in_quotes(name), " is in two files, one is ",
                         in_quotes(at->second.file->path()));
  }

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  /// Names in byte order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    out.reserve(entries_.size());
    for (const auto& entry : entries_) out.push_back(entry.first);
    return out;
  }
  /// Shape as the network sees it. Throws FormatError for an unknown name or a shape that `Shape` cannot hold.
  [[nodiscard]] Shape shape(const std::string& name) const {
    const Entry& e = entry(name);
    const Shape stored = e.file->shape(e.stored.name);
    if (e.stored.parts == 1 && !e.stored.transposed) return stored;
    if (e.stored.transposed) {
      require<FormatError>(stored.rank() == 2, origin(name), ": a matrix is needed");
      return Shape{stored[1], stored[0]};
    }
    require<FormatError>(stored.rank() >= 1 && stored[0] % e.stored.parts == 0, origin(name), ": a multiple of ",
                         e.stored.parts, " rows is needed");
    return stored.with(0, stored[0] / e.stored.parts);
  }
  /// Type in the file.
  [[nodiscard]] DType dtype(const std::string& name) const {
    const Entry& e = entry(name);
    return e.file->info(e.stored.name).dtype;
  }
  /// The tensor converted to `T`, as `SafetensorsFile::get` does.
  template <Scalar T>
  [[nodiscard]] Tensor<T> get(const std::string& name, Convert convert = Convert::SameKind) const {
    const Entry& e = entry(name);
    if (e.stored.parts > 1) {
      const std::int64_t rows = shape(name)[0];
      return e.file->get_rows<T>(e.stored.name, e.stored.part * rows, (e.stored.part + 1) * rows, convert);
    }
    Tensor<T> value = e.file->get<T>(e.stored.name, convert);
    if (!e.stored.transposed) return value;
    const Shape s = shape(name);
    Tensor<T> out(s);
    for (std::int64_t i = 0; i < s[0]; ++i)
      for (std::int64_t j = 0; j < s[1]; ++j) out[i * s[1] + j] = value[j * s[0] + i];
    return out;
  }
  /// The tensor as it is stored, if its elements have 16 bits and its file is mapped (`Access::Map`); else undefined.
  /// It is in the file's memory if it is aligned and in order there, and `copy` does not forbid it. The result keeps
  /// the file open. In a `rounded` table a tensor of another type is a copy, rounded; throws FormatError for a value
  /// beyond the range of that type.
  [[nodiscard]] ConstantTensor narrow(const std::string& name, bool copy = false) const {
    const Entry& e = entry(name);
    const DType stored = dtype(name), type = e.rounded.value_or(stored);
    if (type != stored) return type == DType::F16 ? rounded_to<half>(name) : rounded_to<bfloat16>(name);
    if (!e.file->in_memory()) return {};
    if (type == DType::F16) return narrow_of<half>(name, copy);
    if (type == DType::BF16) return narrow_of<bfloat16>(name, copy);
    return {};
  }
  /// The same tensors, of which `narrow` gives all in `type`: F16 or BF16. Throws OptionError for another type.
  [[nodiscard]] TensorTable rounded(DType type) const {
    require<OptionError>(type == DType::F16 || type == DType::BF16, "weights cannot be rounded to ", dtype_name(type),
                         ": F16 or BF16 are needed");
    TensorTable out = *this;
    for (auto& [name, e] : out.entries_) e.rounded = type;
    return out;
  }
  /// File and stored name, type and shape of a tensor, for messages.
  [[nodiscard]] std::string origin(const std::string& name) const {
    const Entry& e = entry(name);
    return in_quotes(e.file->path()) + ": tensor " + in_quotes(e.stored.name) + " " + e.file->info(e.stored.name).str();
  }
  /// Metadata of the file that holds `name`.
  [[nodiscard]] const std::map<std::string, std::string>& metadata(const std::string& name) const {
    return entry(name).file->metadata();
  }

  /// The tensors whose names begin with `prefix`, without it.
  [[nodiscard]] TensorTable with_prefix(const std::string& prefix) const {
    TensorTable out;
    for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.starts_with(prefix); ++at)
      out.entries_.emplace(at->first.substr(prefix.size()), at->second);
    return out;
  }
  /// All tensors under the names `rename(name)`; those for which it returns nothing are left out. Throws FormatError if
  /// two get the same name.
  template <class F>
  [[nodiscard]] TensorTable renamed(F&& rename) const {
    TensorTable out;
    for (const auto& [name, e] : entries_) {
      const std::optional<std::string> to = rename(name);
      if (!to) continue;
      const auto [at, added] = out.entries_.emplace(*to, e);
      require<FormatError>(added, in_quotes(e.file->path()), ": tensors ", in_quotes(at->second.stored.name), " and ",
                           in_quotes(name), " are both ", in_quotes(*to));
    }
    return out;
  }
  /// The table under the names of a network: `where(name)` says which stored tensor each of `wanted` is. Tensors that
  /// none of them uses stay under their own names, so that strict loading lists them.
  template <class F>
  [[nodiscard]] TensorTable mapped(const std::vector<std::string>& wanted, F&& where) const {
    TensorTable out = *this;
    for (const std::string& name : wanted) {
      const std::optional<StoredTensor> stored = where(name);
      if (stored) out.entries_.erase(stored->name);
    }
    for (const std::string& name : wanted) {
      const std::optional<StoredTensor> stored = where(name);
      if (!stored) continue;
      const auto at = entries_.find(stored->name);
      if (at == entries_.end()) continue;
      StoredTensor part = *stored;
      part.name = at->second.stored.name;
      out.entries_.insert_or_assign(name, Entry{at->second.file, part, at->second.rounded});
    }
    return out;
  }

 private:
  struct Entry {
    std::shared_ptr<const SafetensorsFile> file;
    StoredTensor stored;
    std::optional<DType> rounded = {};
  };
  template <Narrow T>
  [[nodiscard]] ConstantTensor narrow_of(const std::string& name, bool copy) const {
    const Entry& e = entry(name);
    const Shape s = shape(name);
    const std::span<const std::uint8_t> bytes = e.file->bytes(e.stored.name);
    const auto* data = reinterpret_cast<const T*>(bytes.data()) + e.stored.part * s.numel();
    const bool aligned = reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(T) == 0;
    if (copy || e.stored.transposed || !aligned) return ConstantTensor(get<T>(name));
    return ConstantTensor(s, e.file, data);
  }
  template <Narrow T>
  [[nodiscard]] ConstantTensor rounded_to(const std::string& name) const {
    const Tensor<T> value = get<T>(name);
    bool finite = true;
    for (std::int64_t i = 0; i < value.size(); ++i) finite = finite && std::isfinite(widened(value[i]));
    require<FormatError>(finite, origin(name), ": not all values are finite in ", dtype_name(dtype_of<T>()));
    return ConstantTensor(value);
  }
  [[nodiscard]] const Entry& entry(const std::string& name) const {
    const auto at = entries_.find(name);
    require<FormatError>(at != entries_.end(), "no tensor ", in_quotes(name));
    return at->second;
  }

  std::map<std::string, Entry> entries_;
};

}  // namespace hypersd::io::formats
