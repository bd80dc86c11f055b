// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <hypersd/core/device.hpp>
#include <hypersd/core/error.hpp>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace hypersd::io {

/// Element types of array files. Types without a C++ equivalent can be listed and copied as bytes only.
enum class DType : std::uint8_t {
  Bool,
  U8,
  I8,
  U16,
  I16,
  U32,
  I32,
  U64,
  I64,
  F16,
  BF16,
  F32,
  F64,
  C64,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  F6_E2M3,
  F6_E3M2,
  F4
};

namespace detail {

struct DTypeRow {
  DType type;
  const char* name;
  unsigned bits;
};

inline constexpr DTypeRow dtype_rows[] = {
    {DType::Bool, "BOOL", 8},
    {DType::U8, "U8", 8},
    {DType::I8, "I8", 8},
    {DType::U16, "U16", 16},
    {DType::I16, "I16", 16},
    {DType::U32, "U32", 32},
    {DType::I32, "I32", 32},
    {DType::U64, "U64", 64},
    {DType::I64, "I64", 64},
    {DType::F16, "F16", 16},
    {DType::BF16, "BF16", 16},
    {DType::F32, "F32", 32},
    {DType::F64, "F64", 64},
    {DType::C64, "C64", 64},
    {DType::F8_E5M2, "F8_E5M2", 8},
    {DType::F8_E4M3, "F8_E4M3", 8},
    {DType::F8_E8M0, "F8_E8M0", 8},
    {DType::F8_E4M3FNUZ, "F8_E4M3FNUZ", 8},
    {DType::F8_E5M2FNUZ, "F8_E5M2FNUZ", 8},
    {DType::F6_E2M3, "F6_E2M3", 6},
    {DType::F6_E3M2, "F6_E3M2", 6},
    {DType::F4, "F4", 4},
};

}  // namespace detail

/// The safetensors name of a type, e.g. `BF16`.
inline const char* dtype_name(DType type) { return detail::dtype_rows[static_cast<std::size_t>(type)].name; }
/// Bits per element.
inline unsigned dtype_bits(DType type) { return detail::dtype_rows[static_cast<std::size_t>(type)].bits; }
/// Finds a type by its safetensors name; false if there is none.
inline bool find_dtype(std::string_view name, DType& out) {
  for (const auto& row : detail::dtype_rows) {
    if (name == row.name) {
      out = row.type;
      return true;
    }
  }
  return false;
}

/// The `DType` of a tensor's element type.
template <Scalar T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::F32;
  if constexpr (std::is_same_v<T, double>) return DType::F64;
  if constexpr (std::is_same_v<T, half>) return DType::F16;
  if constexpr (std::is_same_v<T, bfloat16>) return DType::BF16;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::I64;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::I32;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::U8;
}

namespace detail {

template <class To, class From>
bool convert_one(From x, To& out) {
  if constexpr (std::is_same_v<To, From>) {
    out = x;
  } else if constexpr (std::is_integral_v<To>) {
    if constexpr (!std::is_integral_v<From>) {
      return false;
    } else {
      if (!std::in_range<To>(x)) return false;
      out = static_cast<To>(x);
    }
  } else if constexpr (std::is_floating_point_v<To> && std::is_arithmetic_v<From>) {
    out = static_cast<To>(x);
  } else {
    out = static_cast<To>(static_cast<float>(x));
  }
  return true;
}

template <class From, class To>
void convert_run(const std::uint8_t* bytes, std::size_t n, To* out, const std::string& where) {
  for (std::size_t i = 0; i < n; ++i) {
    From x;
    std::memcpy(&x, bytes + i * sizeof(From), sizeof(From));  // the bytes need not be aligned
    if (convert_one(x, out[i])) continue;
    if constexpr (std::is_integral_v<From>)
      fail<FormatError>(where, ": integer ", +x, " does not fit into ", dtype_name(dtype_of<To>()));
  }
}

}  // namespace detail

/// Which elements a reader may convert.
enum class Convert {
  SameKind,   ///< floating point to floating point, integers to integers that hold them
  AnyNumber,  ///< also integers to floating point
};

/// Whether elements of type `from` can become `T`. Floating point never becomes an integer.
template <Scalar T>
bool convertible(DType from, Convert convert = Convert::AnyNumber) {
  if (from <= DType::I64) return std::is_integral_v<T> || convert == Convert::AnyNumber;
  return !std::is_integral_v<T> && from >= DType::F16 && from <= DType::F64;
}

/// Converts `n` little-endian elements of type `from`, at any alignment, to `T`: rounded to nearest for floating
/// point. Throws FormatError that starts with `where` if the types do not convert or an integer does not fit.
template <Scalar T>
void convert_elements(DType from, const std::uint8_t* bytes, std::size_t n, T* out, const std::string& where) {
  if (from == dtype_of<T>()) {
    if (n > 0) std::memcpy(out, bytes, n * sizeof(T));
    return;
  }
  require<FormatError>(convertible<T>(from), where, ": ", dtype_name(from), " elements cannot be read as ",
                       dtype_name(dtype_of<T>()));
  switch (from) {
    case DType::Bool:
    case DType::U8: return detail::convert_run<std::uint8_t>(bytes, n, out, where);
    case DType::I8: return detail::convert_run<std::int8_t>(bytes, n, out, where);
    case DType::U16: return detail::convert_run<std::uint16_t>(bytes, n, out, where);
    case DType::I16: return detail::convert_run<std::int16_t>(bytes, n, out, where);
    case DType::U32: return detail::convert_run<std::uint32_t>(bytes, n, out, where);
    case DType::I32: return detail::convert_run<std::int32_t>(bytes, n, out, where);
    case DType::U64: return detail::convert_run<std::uint64_t>(bytes, n, out, where);
    case DType::I64: return detail::convert_run<std::int64_t>(bytes, n, out, where);
    case DType::F16: return detail::convert_run<half>(bytes, n, out, where);
    case DType::BF16: return detail::convert_run<bfloat16>(bytes, n, out, where);
    case DType::F32: return detail::convert_run<float>(bytes, n, out, where);
    case DType::F64: return detail::convert_run<double>(bytes, n, out, where);
    default: break;
  }
}

/// Whether all elements of `count` bytes of type `type` are finite. Integers, booleans and 8-bit floats are.
inline bool all_finite(DType type, const std::uint8_t* bytes, std::size_t count) {
  // Infinity and NaN have an exponent of ones.
  const auto finite = [&]<class Word>(Word exponent) {
    unsigned found = 0;
    for (std::size_t i = 0; i + sizeof(Word) <= count; i += sizeof(Word)) {
      Word word;
      std::memcpy(&word, bytes + i, sizeof(Word));
      found |= static_cast<unsigned>((word & exponent) == exponent);
    }
    return found == 0;
  };
  switch (type) {
    case DType::F64: return finite(std::uint64_t{0x7FF0000000000000});
    case DType::F32: return finite(std::uint32_t{0x7F800000});
    case DType::F16: return finite(std::uint16_t{0x7C00});
    case DType::BF16: return finite(std::uint16_t{0x7F80});
    default: return true;
  }
}

}  // namespace hypersd::io
