// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/npy.hpp>
#include <hypersd/io/zip.hpp>
#include <string>
#include <utility>
#include <vector>

/// \file
/// NumPy's archives of arrays: numpy.savez and numpy.savez_compressed. Needs zlib.

namespace hypersd::io {

/// Reader of a .npz file: arrays by name, without the suffix `.npy` of their entries. Thread-safe.
class NpzFile {
 public:
  /// Throws IoError or FormatError naming `path`.
  explicit NpzFile(std::string path) : zip_(std::move(path)) {}

  /// Names of the arrays in byte order. Entries that do not end in `.npy` are left out.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const std::string& entry : zip_.names())
      if (entry.size() > 4 && entry.ends_with(".npy")) out.push_back(entry.substr(0, entry.size() - 4));
    return out;
  }
  [[nodiscard]] bool contains(const std::string& name) const { return zip_.contains(name + ".npy"); }
  /// Type and shape of an array. Throws FormatError naming file and array.
  [[nodiscard]] NpyInfo info(const std::string& name) const { return npy_info(bytes(name), where(name)); }
  /// An array whose elements are of type `T`. Throws FormatError naming file and array.
  template <Scalar T>
  [[nodiscard]] Tensor<T> tensor(const std::string& name) const {
    const std::string text = bytes(name);
    const DType stored = npy_info(text, where(name)).dtype;
    require<FormatError>(stored == dtype_of<T>(), "npz file ", in_quotes(zip_.path()), ": elements of ",
                         in_quotes(name), " are ", dtype_name(stored), ", not ", dtype_name(dtype_of<T>()));
    return decode_npy<T>(text, where(name));
  }
  /// An array converted: anything to floating point, integers to integers that hold them.
  template <Scalar T>
  [[nodiscard]] Tensor<T> get(const std::string& name) const {
    return decode_npy<T>(bytes(name), where(name));
  }

 private:
  [[nodiscard]] std::string bytes(const std::string& name) const {
    require<FormatError>(contains(name), "npz file ", in_quotes(zip_.path()), ": there is no array ", in_quotes(name));
    return zip_.read(name + ".npy");
  }
  [[nodiscard]] std::string where(const std::string& name) const { return zip_.path() + ":" + name; }

  ZipFile zip_;
};

/// Whether arrays of a .npz file are compressed. Random numbers hardly shrink.
enum class Compress { No, Yes };

/// Writes a .npz file atomically, array by array. The same arrays in the same order give the same bytes.
class NpzWriter {
 public:
  /// Throws IoError naming `path`.
  explicit NpzWriter(const std::string& path, Compress compress = Compress::No)
      : zip_(path), deflate_(compress == Compress::Yes) {}

  /// Writes an array of any device. Throws FormatError for an empty or repeated name or beyond 4 GiB, ShapeError for an
  /// undefined tensor, IoError for a full disk.
  template <Scalar T, Device D>
  void add(const std::string& name, const Tensor<T, D>& array) {
    require<FormatError>(!name.empty(), "npz: an array without a name");
    zip_.add(name + ".npy", encode_npy(array.template to<Cpu>()), deflate_);
  }
  /// Puts the complete file under its name. Without it, the old file stays.
  void commit() { zip_.commit(); }

 private:
  ZipWriter zip_;
  bool deflate_;
};

}  // namespace hypersd::io
