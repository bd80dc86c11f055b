// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/dtype.hpp>

#include <doctest/doctest.h>

#include <vector>

#include <temp_folder.hpp>

using namespace hypersd;
using io::DType;

TEST_CASE("every type is found by its name") {
  for (int i = 0; i <= static_cast<int>(DType::F4); ++i) {
    const auto type = static_cast<DType>(i);
    DType found{};
    CHECK(io::find_dtype(io::dtype_name(type), found));
    CHECK(found == type);
  }
  DType none{};
  CHECK_FALSE(io::find_dtype("f32", none));
  CHECK(io::dtype_bits(DType::F6_E3M2) == 6);
  CHECK(io::dtype_of<bfloat16>() == DType::BF16);
}

TEST_CASE("which conversions exist") {
  CHECK(io::convertible<float>(DType::Bool));
  CHECK(io::convertible<float>(DType::F64));
  CHECK(io::convertible<float>(DType::F64, io::Convert::SameKind));
  CHECK_FALSE(io::convertible<float>(DType::Bool, io::Convert::SameKind));
  CHECK(io::convertible<std::int32_t>(DType::I64, io::Convert::SameKind));
  CHECK_FALSE(io::convertible<float>(DType::C64));
  CHECK_FALSE(io::convertible<float>(DType::F4));
  CHECK(io::convertible<std::int32_t>(DType::I64));
  CHECK_FALSE(io::convertible<std::int32_t>(DType::F16));
  CHECK(io::convertible<half>(DType::BF16));
}

TEST_CASE("which elements are finite") {
  const auto finite = []<class T>(io::DType type, std::vector<T> values) {
    return io::all_finite(type, reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T));
  };
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(finite(io::DType::F32, std::vector<float>{0, -1, std::numeric_limits<float>::max(), 1e-45F}));
  CHECK(!finite(io::DType::F32, std::vector<float>{0, 1, -inf}));
  CHECK(!finite(io::DType::F32, std::vector<float>{nan, 1}));
  CHECK(finite(io::DType::F64, std::vector<double>{std::numeric_limits<double>::max()}));
  CHECK(!finite(io::DType::F64, std::vector<double>{1, static_cast<double>(nan)}));
  CHECK(finite(io::DType::F16, std::vector<std::uint16_t>{0x7BFF, 0xFBFF}));  // 65504
  CHECK(!finite(io::DType::F16, std::vector<std::uint16_t>{0xFC00}));
  CHECK(finite(io::DType::BF16, std::vector<std::uint16_t>{0x7F7F}));
  CHECK(!finite(io::DType::BF16, std::vector<std::uint16_t>{0x7FC0}));
  CHECK(finite(io::DType::U16, std::vector<std::uint16_t>{0xFFFF}));
  CHECK(finite(io::DType::F32, std::vector<float>{}));
}

TEST_CASE("conversion from any alignment") {
  std::vector<std::uint8_t> bytes(1 + 8 * 3);
  const double values[3] = {1.0, -2.5, 1e-3};
  std::memcpy(bytes.data() + 1, values, sizeof(values));
  float out[3];
  io::convert_elements(DType::F64, bytes.data() + 1, 3, out, "x");
  CHECK(out[1] == -2.5F);
  CHECK(out[2] == 1e-3F);
  const std::uint64_t large = ~0ULL;
  std::memcpy(bytes.data(), &large, 8);
  std::int64_t integer = 0;
  CHECK(test::mentions(
      test::message_of<FormatError>([&] { io::convert_elements(DType::U64, bytes.data(), 1, &integer, "file 'f'"); }),
      "file 'f': integer 18446744073709551615 does not fit into I64"));
}
