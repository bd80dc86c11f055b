// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/npy.hpp>

#include <doctest/doctest.h>

#include <hypersd/core/philox.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;
using namespace std::string_literals;

namespace {

std::string image(const std::string& header, const std::string& data, char version = 1) {
  std::string out = "\x93NUMPY" + std::string(1, version) + std::string(1, '\0');
  out += static_cast<char>(header.size() & 0xFF);
  out += static_cast<char>(header.size() >> 8U);
  if (version > 1) out += std::string(2, '\0');
  return out + header + data;
}

std::string refusal(const std::string& bytes) {
  return message_of<FormatError>([&] { io::npy_info(bytes, "f.npy"); });
}

}  // namespace

TEST_CASE_TEMPLATE("round trip", T, float, double, half, std::int32_t, std::int64_t, std::uint8_t) {
  const test::TempFolder folder;
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{5}, Shape{2, 3}, Shape{0, 4}, Shape{1, 2, 1, 2, 1, 2}}) {
    Tensor<T> array(shape);
    for (std::int64_t i = 0; i < array.size(); ++i) array[i] = T(static_cast<float>(i + 1));
    io::write_npy(folder / "a.npy", array);
    const auto back = io::read_npy<T>(folder / "a.npy");
    CHECK(back.shape() == shape);
    CHECK(back.to_vector() == array.to_vector());
  }
}

TEST_CASE("the bytes that NumPy writes") {
  const auto bytes = io::encode_npy(Tensor<float>::from({2}, {1.0F, 2.0F}));
  REQUIRE(bytes.size() == 128 + 8);
  CHECK(bytes.substr(10, 57) == "{'descr': '<f4', 'fortran_order': False, 'shape': (2, ), ");
  CHECK(bytes[127] == '\n');
  const std::string own = image("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }   \n", std::string(8, '\1'));
  CHECK(io::decode_npy<std::int32_t>(own, "f")[1] == 0x01010101);
  for (const char version : {'\2', '\3'})
    CHECK(
        io::decode_npy<std::uint8_t>(image("{\"shape\":(1,1),'fortran_order':False,'descr':'|u1'}", "\5", version), "f")
            .item() == 5);
}

TEST_CASE("all of NumPy's integers, booleans and float16 are read") {
  const auto read = [](const std::string& descr, const std::string& data) {
    return io::decode_npy<float>(image("{'descr': '" + descr + "', 'fortran_order': False, 'shape': (1,), }", data),
                                 "f")
        .item();
  };
  CHECK(read("|b1", "\1") == 1.0F);
  CHECK(read("|i1", "\xFE") == -2.0F);
  CHECK(read("<u2", "\xFE\xFF") == 65534.0F);
  CHECK(read("<i2", "\xFE\xFF") == -2.0F);
  CHECK(read("<u4", "\1\0\0\x80"s) == 2147483649.0F);
  CHECK(read("=u8", "\2\0\0\0\0\0\0\0"s) == 2.0F);
  CHECK(read("<f2", "\0\xC0"s) == -2.0F);
  CHECK(mentions(refusal(image("{'descr': '|f4', 'fortran_order': False, 'shape': (1,), }", "1234")), "'|f4'"));
}

TEST_CASE("conversion is explicit") {
  const test::TempFolder folder;
  io::write_npy(folder / "d.npy", Tensor<double>::from({1}, {0.5}));
  CHECK(io::read_npy_as<float>(folder / "d.npy").item() == 0.5F);
  CHECK(mentions(message_of<FormatError>([&] { io::read_npy<float>(folder / "d.npy"); }), "elements are F64, not F32"));
  CHECK_THROWS_AS(io::read_npy_as<std::int32_t>(folder / "d.npy"), FormatError);
  CHECK(mentions(message_of<IoError>([&] { io::read_npy<float>(folder / "none.npy"); }), "none.npy"));
}

TEST_CASE("what is not read is named") {
  const std::string rest = ", 'fortran_order': False, 'shape': (1,), }";
  CHECK(mentions(refusal(""), "does not begin like a .npy file"));
  CHECK(mentions(refusal("PK\3\4 numpy zip archive"), "f.npy"));
  CHECK(mentions(refusal(image("{}", "", 4)), "version 4.0"));
  CHECK(mentions(refusal(image("{'descr': '>f4'" + rest, "1234")), "'>f4' is big-endian"));
  CHECK(mentions(refusal(image("{'descr': '<g16'" + rest, "12")), "'<g16' is not read"));
  CHECK(mentions(refusal(image("{'descr': '<c8'" + rest, "12345678")), "'<c8'"));
  CHECK(mentions(refusal(image("{'descr': ''" + rest, "1")), "''"));
  CHECK(mentions(refusal(image("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", std::string(16, '0'))),
                 "Fortran order"));
  CHECK(mentions(refusal(image("{'descr': '<f4'" + rest, "123")), "truncated, shape [1] takes 4 bytes but 3"));
  CHECK(mentions(refusal(image("{'descr': '<f4'" + rest, "12345")), "1 bytes follow"));
  CHECK(mentions(refusal(image("{'descr': '<f4'" + rest, "1234").substr(0, 30)), "truncated inside the header"));
  CHECK(mentions(refusal(image("{'descr': '<f4', 'fortran_order': False}", "")), "lacks"));
  CHECK(mentions(refusal(image("{'descr': '<f4', 'descr': '<f4'" + rest, "")), "repeated key 'descr'"));
  CHECK(mentions(refusal(image("{'x': '<f4'" + rest, "")), "key 'x'"));
  const auto shape = [](const std::string& s) {
    return refusal(image("{'descr': '<f4', 'fortran_order': False, 'shape': " + s + ", }", ""));
  };
  CHECK(mentions(shape("(1,1,1,1,1,1,1)"), "more than 6 axes"));
  CHECK(mentions(shape("(4611686018427387904,4)"), "too large"));
  CHECK(mentions(shape("(0,4611686018427387904,4)"), "too large"));
  for (const char* bad : {"(3)", "3", "(-1,)", "(99999999999999999999,)", "(1,,)", "(1 2)", "(1.5,)", "[1]", "(1,"})
    CHECK_MESSAGE(mentions(shape(bad), "broken"), bad);
}

TEST_CASE("changed and cut bytes are refused or read, never worse") {
  const std::string bytes = io::encode_npy(Tensor<float>::ones({3, 2}));
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK_THROWS_AS(io::npy_info(bytes.substr(0, n), "f"), FormatError);
  const Stream random = stream(2, "mutate");
  int accepted = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    std::string mutant = bytes;
    mutant[static_cast<std::size_t>(integer_at(random, 2 * i, 90))] = static_cast<char>(bits_at(random, 2 * i + 1));
    try {
      io::decode_npy<double>(mutant, "f");
      ++accepted;
    } catch (const FormatError&) {
    }
  }
  CHECK(accepted < 4000);
}
