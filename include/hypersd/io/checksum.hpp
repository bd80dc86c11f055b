// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <hypersd/core/parallel.hpp>
#include <hypersd/io/safetensors.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <map>
#include <string>
#include <vector>

/// \file
/// Checksums of the tensors and the metadata of a safetensors file, kept in its metadata. Needs zlib (link with -lz).

namespace hypersd::io {

/// CRC-32 of bytes that may come in blocks.
class Crc32 {
 public:
  void add(const void* bytes, std::size_t count) {
    value_ = ::crc32_z(value_, static_cast<const Bytef*>(bytes), count);
  }
  /// Eight hexadecimal digits.
  [[nodiscard]] std::string text() const {
    std::array<char, 16> out{};
    std::snprintf(out.data(), out.size(), "%08lx", value_ & 0xFFFFFFFFUL);
    return out.data();
  }

 private:
  uLong value_ = ::crc32_z(0, nullptr, 0);
};

namespace detail {

/// Key of the checksum of all other metadata. That of tensor NAME is `crc32 NAME`.
inline constexpr const char* checksum_key = "crc32";

inline std::string metadata_checksum(const std::map<std::string, std::string>& metadata) {
  Crc32 crc;
  for (const auto& [key, value] : metadata) {
    if (key == checksum_key) continue;
    const std::string line = key + '\n' + value + '\n';
    crc.add(line.data(), line.size());
  }
  return crc.text();
}

}  // namespace detail

/// Adds to `writer.metadata` the CRC-32 of each tensor as it is now, and of the metadata. Call it last.
inline void add_checksums(SafetensorsWriter& writer) {
  std::vector<std::string> found(writer.size());
  parallel_for(static_cast<std::int64_t>(found.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto bytes = writer.bytes(static_cast<std::size_t>(i));
      Crc32 crc;
      crc.add(bytes.data(), bytes.size());
      found[static_cast<std::size_t>(i)] = crc.text();
    }
  });
  for (std::size_t i = 0; i < found.size(); ++i)
    writer.metadata[std::string(detail::checksum_key) + " " + writer.name(i)] = found[i];
  writer.metadata[detail::checksum_key] = detail::metadata_checksum(writer.metadata);
}

/// Reads all of `file` and throws FormatError, naming the file and the tensor, unless every tensor and the metadata
/// have the checksums that `add_checksums` left.
inline void verify_checksums(const SafetensorsFile& file) {
  const std::string where = "file " + in_quotes(file.path());
  const std::string key = detail::checksum_key;
  require<FormatError>(file.metadata(key, "") == detail::metadata_checksum(file.metadata()), where,
                       " is damaged or has no checksums: its metadata have another CRC-32 than they say");
  const std::vector<std::string> names = file.names();
  std::vector<std::string> found(names.size());
  parallel_for(static_cast<std::int64_t>(names.size()), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      Crc32 crc;
      file.visit_bytes(names[static_cast<std::size_t>(i)],
                       [&](const void* bytes, std::size_t count) { crc.add(bytes, count); });
      found[static_cast<std::size_t>(i)] = crc.text();
    }
  });
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string stored = file.metadata(key + " " + names[i], "none");
    require<FormatError>(found[i] == stored, where, " is damaged: tensor ", in_quotes(names[i]), " has CRC-32 ",
                         found[i], " instead of ", stored);
  }
}

}  // namespace hypersd::io
