// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/dtype.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/text.hpp>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

/// \file
/// NumPy's array files (numpy.lib.format, versions 1 to 3) in C order, little-endian: numbers of 8 to 64 bits.

namespace hypersd::io {

static_assert(std::endian::native == std::endian::little, "array files are read and written in place: little-endian");

/// The header of a .npy file.
struct NpyInfo {
  DType dtype = DType::F32;
  Shape shape;
  std::size_t data_start = 0;  ///< offset of the first element in the file
};

namespace detail {

/// NumPy's names of types, without the byte order.
struct NpyType {
  const char* name;
  DType type;
};
inline constexpr NpyType npy_types[] = {{"b1", DType::Bool}, {"u1", DType::U8},  {"i1", DType::I8},
                                        {"u2", DType::U16},  {"i2", DType::I16}, {"u4", DType::U32},
                                        {"i4", DType::I32},  {"u8", DType::U64}, {"i8", DType::I64},
                                        {"f2", DType::F16},  {"f4", DType::F32}, {"f8", DType::F64}};

/// The type that `descr` names. Throws FormatError that begins with `where`.
inline DType npy_dtype(const std::string& descr, const std::string& where) {
  const char order = descr.empty() ? '\0' : descr[0];
  require<FormatError>(order != '>', where, "type ", in_quotes(descr), " is big-endian; save it little-endian");
  const std::string type = descr.substr(descr.empty() ? 0 : 1);
  for (const NpyType& known : npy_types)
    if (type == known.name && (order == '<' || order == '=' || (order == '|' && known.name[1] == '1')))
      return known.type;
  fail<FormatError>(where, "type ", in_quotes(descr), " is not read; b1, f2, f4, f8, i1 to i8 and u1 to u8 are");
}

/// Parser of the header's Python dictionary, e.g. `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
class NpyHeader {
 public:
  NpyHeader(std::string_view text, const std::string& where) : text_(text), where_(where) { advance(); }

  NpyInfo parse() {
    NpyInfo out;
    std::set<std::string> keys;
    expect("{");
    while (!take("}")) {
      const std::string key = quoted();
      const bool known = key == "descr" || key == "fortran_order" || key == "shape";
      require<FormatError>(known && keys.insert(key).second, where_, "unexpected or repeated key ", in_quotes(key));
      expect(":");
      if (key == "descr") {
        out.dtype = npy_dtype(quoted(), where_);
      } else if (key == "shape") {
        out.shape = extents();
      } else if (!take("False")) {
        require<FormatError>(token_ == "True", where_, "fortran_order is neither True nor False");
        fail<FormatError>(where_, "Fortran order is not read; save it with order='C'");
      }
      if (!take(",") && token_ != "}") broken();
    }
    if (!token_.empty()) broken();
    require<FormatError>(keys.size() == 3, where_, "the header lacks descr, fortran_order or shape");
    return out;
  }

 private:
  Shape extents() {
    Shape out;
    expect("(");
    while (!take(")")) {
      std::int64_t n = 0;
      const char* end = token_.data() + token_.size();
      const auto result = std::from_chars(token_.data(), end, n);
      if (result.ec != std::errc() || result.ptr != end) broken();
      require<FormatError>(out.rank() < Shape::max_rank, where_, "more than ", Shape::max_rank, " axes");
      out.push_back(n);
      advance();
      if (!take(",") && (token_ != ")" || out.rank() == 1)) broken();  // (3) is a number in Python, (3,) a tuple
    }
    return out;
  }
  std::string quoted() {
    if (token_.size() < 2 || (token_[0] != '\'' && token_[0] != '"')) broken();
    std::string out(token_.substr(1, token_.size() - 2));
    advance();
    return out;
  }
  bool take(std::string_view token) {
    if (token_ != token) return false;
    advance();
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) broken();
  }
  // The next token: a quoted string with its quotes, letters and digits, another character; empty at the end.
  void advance() {
    const std::size_t begin = text_.find_first_not_of(" \n", at_ += token_.size());
    at_ = begin == std::string_view::npos ? text_.size() : begin;
    token_ = {};
    if (at_ == text_.size()) return;
    const char c = text_[at_];
    const auto word = [](char x) { return (x >= '0' && x <= '9') || (x >= 'A' && x <= 'Z') || (x >= 'a' && x <= 'z'); };
    std::size_t end = at_ + 1;
    if (c == '\'' || c == '"') end = text_.find(c, end) + 1;  // 0 if it is open: the token is then the quote alone
    while (word(c) && end < text_.size() && word(text_[end])) ++end;
    token_ = text_.substr(at_, end > at_ ? end - at_ : 1);
  }
  [[noreturn]] void broken() { fail<FormatError>(where_, "the header is broken at character ", at_); }

  std::string_view text_, token_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace detail

/// Reads the header of a .npy file in memory and checks that its data are complete. Throws FormatError naming `file`.
inline NpyInfo npy_info(std::string_view bytes, const std::string& file) {
  const std::string where = "npy file " + in_quotes(file) + ": ";
  require<FormatError>(bytes.size() >= 10 && bytes.substr(0, 6) == "\x93NUMPY", where,
                       "it does not begin like a .npy file");
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
  require<FormatError>(byte(6) >= 1 && byte(6) <= 3 && byte(7) == 0, where, "format version ", byte(6), ".", byte(7),
                       " is not known");
  std::size_t start = 10, length = byte(8) | byte(9) << 8U;
  if (byte(6) > 1) {
    require<FormatError>(bytes.size() >= 12, where, "truncated");
    start = 12;
    length |= byte(10) << 16U | byte(11) << 24U;
  }
  require<FormatError>(length <= bytes.size() - start, where, "truncated inside the header");
  NpyInfo info = detail::NpyHeader(bytes.substr(start, length), where).parse();
  info.data_start = start + length;
  require<FormatError>(info.shape.fits(8), where, "shape ", info.shape, " is too large");
  const std::size_t need = static_cast<std::size_t>(info.shape.numel()) * (dtype_bits(info.dtype) / 8);
  const std::size_t there = bytes.size() - info.data_start;
  require<FormatError>(there >= need, where, "truncated, shape ", info.shape, " takes ", need, " bytes but ", there,
                       " are there");
  require<FormatError>(there == need, where, there - need, " bytes follow the data of shape ", info.shape);
  return info;
}

/// Decodes a .npy file in memory and converts its elements to `T` (see `convert_elements`). Throws FormatError naming
/// `file`.
template <Scalar T>
Tensor<T> decode_npy(std::string_view bytes, const std::string& file) {
  const NpyInfo info = npy_info(bytes, file);
  require<FormatError>(convertible<T>(info.dtype), "npy file ", in_quotes(file), ": ", dtype_name(info.dtype),
                       " elements cannot be read as ", dtype_name(dtype_of<T>()));
  Tensor<T> out(info.shape);
  convert_elements(info.dtype, reinterpret_cast<const std::uint8_t*>(bytes.data()) + info.data_start,
                   static_cast<std::size_t>(out.size()), out.data(), "npy file " + in_quotes(file));
  return out;
}

/// Reads a .npy file whose elements are of type `T`. Throws IoError or FormatError naming `path`.
template <Scalar T>
Tensor<T> read_npy(const std::string& path) {
  const std::string bytes = read_file(path);
  const NpyInfo info = npy_info(bytes, path);
  require<FormatError>(info.dtype == dtype_of<T>(), "npy file ", in_quotes(path), ": elements are ",
                       dtype_name(info.dtype), ", not ", dtype_name(dtype_of<T>()));
  return decode_npy<T>(bytes, path);
}

/// Reads a .npy file and converts: anything to floating point, integers to integers that hold them.
template <Scalar T>
Tensor<T> read_npy_as(const std::string& path) {
  return decode_npy<T>(read_file(path), path);
}

/// The bytes of a .npy file, version 1. bfloat16, which NumPy lacks, does not compile.
template <Scalar T>
std::string encode_npy(const Tensor<T>& array) {
  static_assert(!std::is_same_v<T, bfloat16>, "NumPy has no bfloat16: cast to float first");
  std::string descr = sizeof(T) == 1 ? "|" : "<";
  for (const detail::NpyType& known : detail::npy_types)
    if (known.type == dtype_of<T>()) descr += known.name;
  require<ShapeError>(array.defined(), "npy: the array is undefined");
  std::string shape;
  for (const std::int64_t n : array.shape()) shape += std::to_string(n) + ", ";
  if (array.rank() > 1) shape.resize(shape.size() - 2);
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  header.append(63 - (10 + header.size()) % 64, ' ');  // data at a multiple of 64
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(static_cast<unsigned char>(header.size() & 0xFFU));
  out += static_cast<char>(static_cast<unsigned char>(header.size() >> 8U));
  out += header;
  if (array.size() > 0)
    out.append(reinterpret_cast<const char*>(array.data()), static_cast<std::size_t>(array.size()) * sizeof(T));
  return out;
}

/// Writes a .npy file atomically. Throws IoError naming `path`.
template <Scalar T>
void write_npy(const std::string& path, const Tensor<T>& array) {
  atomic_write(path, encode_npy(array));
}

}  // namespace hypersd::io
