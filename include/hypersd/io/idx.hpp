// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/dtype.hpp>
#include <hypersd/io/gzip.hpp>
#include <string>
#include <type_traits>

/// \file
/// IDX files (the format of MNIST and its relatives): 0 0 TYPE RANK, big-endian 32-bit extents, big-endian elements.

namespace hypersd::io {

namespace detail {

/// Type code of the supported element types: u8, i32, f32.
template <class T>
constexpr std::uint8_t idx_code() {
  static_assert(std::is_same_v<T, std::uint8_t> || std::is_same_v<T, std::int32_t> || std::is_same_v<T, float>,
                "IDX elements are uint8_t, int32_t or float");
  return std::is_same_v<T, std::uint8_t> ? 0x08 : std::is_same_v<T, std::int32_t> ? 0x0C : 0x0D;
}

inline const char* idx_type_name(std::uint8_t code) {
  switch (code) {
    case 0x08: return "u8";
    case 0x09: return "i8";
    case 0x0B: return "i16";
    case 0x0C: return "i32";
    case 0x0D: return "f32";
    case 0x0E: return "f64";
    default: return "no known type";
  }
}

}  // namespace detail

/// Reads an IDX file, gzip-compressed or plain, whose elements are of type `T` (`std::uint8_t`, `std::int32_t` or
/// `float`). Throws IoError (unreadable) or FormatError (not IDX, another type, truncated, too long), naming `path`
/// and the numbers.
template <Scalar T>
Tensor<T> read_idx(const std::string& path) {
  const std::string where = "IDX file " + in_quotes(path) + ": ";
  GzipFile file(path);
  std::array<std::uint8_t, 4> magic{};
  const std::size_t got = file.read(magic.data(), magic.size());
  require<FormatError>(got == 4, where, "truncated, ", got, " bytes are less than the header's 4");
  require<FormatError>(magic[0] == 0 && magic[1] == 0, where,
                       "it does not begin with two zero bytes, so it is no IDX file");
  const std::uint8_t wanted = detail::idx_code<T>();
  require<FormatError>(magic[2] == wanted, where, "its type code ", static_cast<int>(magic[2]), " is ",
                       detail::idx_type_name(magic[2]), ", not ", detail::idx_type_name(wanted));
  const int rank = magic[3];
  require<FormatError>(rank >= 1 && rank <= Shape::max_rank, where, "rank ", rank, " is not between 1 and ",
                       Shape::max_rank);
  Shape shape;
  for (int i = 0; i < rank; ++i) {
    std::array<std::uint8_t, 4> word{};
    require<FormatError>(file.read(word.data(), 4) == 4, where, "truncated inside the header, rank ", rank);
    const std::uint32_t n = std::uint32_t{word[0]} << 24U | std::uint32_t{word[1]} << 16U |
                            std::uint32_t{word[2]} << 8U | std::uint32_t{word[3]};
    shape.push_back(n);
  }
  require<FormatError>(shape.fits(8), where, "shape ", shape, " is too large");
  const std::uint64_t bytes = static_cast<std::uint64_t>(shape.numel()) * sizeof(T);
  // Checked before memory is allocated: extents of an invalid file can have any value.
  const std::uint64_t header = 4 + 4 * static_cast<std::uint64_t>(rank);
  require<FormatError>(bytes <= file.size_bound() - std::min(header, file.size_bound()), where, "truncated, shape ",
                       shape, " takes ", bytes, " bytes, more than the file can hold");
  Tensor<T> out(shape);
  const std::size_t there = file.read(out.data(), static_cast<std::size_t>(bytes));
  require<FormatError>(there == bytes, where, "truncated, shape ", shape, " takes ", bytes, " bytes but ", there,
                       " are there");
  std::uint8_t extra = 0;  // reading past the end also makes zlib verify the checksum
  require<FormatError>(file.read(&extra, 1) == 0, where, "more bytes follow the ", bytes, " of shape ", shape);
  if constexpr (sizeof(T) == 4) {
    for (T& x : out.span()) {
      std::uint32_t word = 0;
      std::memcpy(&word, &x, 4);
      word = __builtin_bswap32(word);
      std::memcpy(&x, &word, 4);
    }
  }
  return out;
}

/// Throws FormatError naming both files unless the counts are equal.
inline void require_same_count(const std::string& images, std::int64_t image_count, const std::string& labels,
                               std::int64_t label_count) {
  require<FormatError>(image_count == label_count, in_quotes(images), " holds ", image_count, " images but ",
                       in_quotes(labels), " holds ", label_count, " labels");
}

}  // namespace hypersd::io
