// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/safetensors_index.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;

namespace {

std::string refusal(const std::string& header, std::uint64_t data_bytes) {
  return test::message_of<FormatError>([&] { io::parse_safetensors_header(header, data_bytes, "f.safetensors"); });
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"a\":" + entry(dtype, shape, offsets) + "}";
}

}  // namespace

TEST_CASE("valid headers") {
  CHECK(io::parse_safetensors_header("{}", 0, "f").tensors.empty());
  CHECK(io::parse_safetensors_header("{}   \n\t ", 0, "f").tensors.empty());
  CHECK(io::parse_safetensors_header("  {}", 0, "f").tensors.empty());
  CHECK(io::parse_safetensors_header("{\"__metadata__\":null}", 0, "f").metadata.empty());
  const auto meta = io::parse_safetensors_header("{\"__metadata__\":{\"k\":\"v\",\"\":\"\\u00e9\"}}", 0, "f").metadata;
  CHECK(meta.at("k") == "v");
  CHECK(meta.at("") == "\xC3\xA9");

  auto t = io::parse_safetensors_header(one("\"F32\"", "[]", "[0,4]"), 4, "f").tensors.at("a");
  CHECK(t.str() == "F32 []");
  t = io::parse_safetensors_header(one("\"BF16\"", "[2,3]", "[0,12]"), 12, "f").tensors.at("a");
  CHECK(t.str() == "BF16 [2, 3]");
  CHECK(io::parse_safetensors_header(one("\"F4\"", "[3,2]", "[0,3]"), 3, "f").tensors.at("a").end == 3);
  CHECK(io::parse_safetensors_header(one("\"F6_E2M3\"", "[4]", "[0,3]"), 3, "f").tensors.size() == 1);
  CHECK(io::parse_safetensors_header(one("\"F32\"", "[0,9223372036854775808,4]", "[0,0]"), 0, "f").tensors.size() == 1);
  CHECK(io::parse_safetensors_header(one("\"U8\"", "[1,1,1,1,1,1,1,1,1,1]", "[0,1]"), 1, "f").tensors.size() == 1);
  // Empty, non-ASCII and NUL-containing names; entries in any order; zero sizes between others; unknown fields.
  const std::string many = "{\"\":" + entry("\"U8\"", "[2]", "[3,5]") +
                           ",\"\\u0000\":" + entry("\"U8\"", "[3]", "[0,3]") +
                           ",\"\xC3\xA9\":" + entry("\"I64\"", "[0,7]", "[3,3]") +
                           ",\"x\":{\"more\":{\"dtype\":[{}],\"y\":[1,-2,3.5,null,true]},\"more\":\"s\",\"n\":1," +
                           entry("\"U8\"", "[0]", "[5,5]").substr(1) + "}";
  const auto index = io::parse_safetensors_header(many, 5, "f");
  CHECK(index.tensors.size() == 4);
  CHECK(index.tensors.at(std::string(1, '\0')).end == 3);
}

TEST_CASE("wrong JSON") {
  CHECK(mentions(refusal("", 0), "not valid JSON"));
  CHECK(mentions(refusal("{", 0), "f.safetensors"));
  CHECK(mentions(refusal("{} x", 0), "not valid JSON"));
  CHECK(mentions(refusal("{}{}", 0), "not valid JSON"));
  CHECK(mentions(refusal("[]", 0), "list instead of an object"));
  CHECK(mentions(refusal("7", 0), "the number '7' instead of an object"));
  CHECK(mentions(refusal("null", 0), "null instead of an object"));
  CHECK(mentions(refusal("\xEF\xBB\xBF{}", 0), "byte order mark"));
  CHECK(mentions(refusal(std::string("{}\0", 3), 0), "not valid JSON at byte 2"));
  CHECK(mentions(refusal("{\"\xC0\xAF\":1}", 0), "UTF-8"));
  CHECK(mentions(refusal("{\"\xED\xA0\x80\":1}", 0), "UTF-8"));
  CHECK(mentions(refusal("{\"\\ud800\":1}", 0), "not valid JSON"));
  CHECK(mentions(refusal("{\"a\":1e999}", 0), "the number '1e999'"));
  CHECK(mentions(refusal("{\"a\":[]}", 0), "list instead of an object"));
  CHECK(mentions(refusal("{\"a\":\"b\"}", 0), "tensor 'a'"));
  CHECK(mentions(refusal("{\"a\":null}", 0), "null instead"));
  std::string deep = "{\"a\":{\"x\":";
  for (int i = 0; i < 100000; ++i) deep += '[';
  CHECK(mentions(refusal(deep, 0), "nested too deeply"));
}

TEST_CASE("wrong entries") {
  CHECK(mentions(refusal("{\"a\":{}}", 0), "'dtype' is missing"));
  CHECK(mentions(refusal("{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0), "'data_offsets' is missing"));
  CHECK(mentions(refusal(one("\"F33\"", "[]", "[0,4]"), 4), "unknown dtype 'F33'"));
  CHECK(mentions(refusal(one("1", "[]", "[0,4]"), 4), "field 'dtype' holds the number"));
  CHECK(mentions(refusal(one("null", "[]", "[0,4]"), 4), "field 'dtype' holds null"));
  for (const char* bad : {"4.0", "4e0", "-0", "-1", "\"4\"", "null", "true", "18446744073709551616", "{}", "[4]"}) {
    CAPTURE(bad);
    CHECK(mentions(refusal(one("\"F32\"", "[" + std::string(bad) + "]", "[0,16]"), 16), "field 'shape'"));
    CHECK(mentions(refusal(one("\"F32\"", "[0]", "[0," + std::string(bad) + "]"), 16), "field 'data_offsets'"));
  }
  CHECK(mentions(refusal(one("\"F32\"", "4", "[0,16]"), 16), "field 'shape' holds the number"));
  CHECK(mentions(refusal(one("\"F32\"", "{}", "[0,16]"), 16), "field 'shape' holds an object"));
  CHECK(mentions(refusal(one("\"F32\"", "[4]", "[0]"), 16), "not a pair"));
  CHECK(mentions(refusal(one("\"F32\"", "[4]", "[0,16,16]"), 16), "more than two"));
  CHECK(mentions(refusal(one("\"F32\"", "[4]", "[16,0]"), 16), "takes 16 bytes"));
  CHECK(mentions(refusal(one("\"F32\"", "[4]", "[0,15]"), 15), "takes 16 bytes"));
  CHECK(mentions(refusal(one("\"F4\"", "[3]", "[0,1]"), 1), "whole number of bytes"));
  CHECK(mentions(refusal(one("\"U8\"", "[9223372036854775808,4,0]", "[0,0]"), 0), "overflows"));
  CHECK(mentions(refusal(one("\"F32\"", "[4611686018427387904]", "[0,0]"), 0), "overflows"));
  CHECK(mentions(refusal("{\"a\":{\"shape\":[0],\"shape\":[0]}}", 0), "'shape' occurs twice"));
  CHECK(mentions(
      refusal("{\"a\":" + entry("\"U8\"", "[0]", "[0,0]") + ",\"a\":" + entry("\"U8\"", "[0]", "[0,0]") + "}", 0),
      "'a': the name occurs twice"));
}

TEST_CASE("wrong metadata") {
  CHECK(mentions(refusal("{\"__metadata__\":[]}", 0), "list instead"));
  CHECK(mentions(refusal("{\"__metadata__\":\"x\"}", 0), "a string instead"));
  CHECK(mentions(refusal("{\"__metadata__\":{\"k\":1}}", 0), "'k' holds the number"));
  CHECK(mentions(refusal("{\"__metadata__\":{\"k\":null}}", 0), "'k' holds null"));
  CHECK(mentions(refusal("{\"__metadata__\":{\"k\":{}}}", 0), "'k' holds an object"));
  CHECK(mentions(refusal("{\"__metadata__\":{\"shape\":[1]}}", 0), "'shape' holds a list"));
  CHECK(mentions(refusal("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0), "'k' occurs twice"));
  CHECK(mentions(refusal("{\"__metadata__\":{},\"__metadata__\":{}}", 0), "occurs twice"));
}

TEST_CASE("tensors must tile the data") {
  const std::string a = entry("\"U8\"", "[2]", "[0,2]");
  CHECK(mentions(refusal("{\"a\":" + a + ",\"b\":" + entry("\"U8\"", "[2]", "[3,5]") + "}", 5), "a hole"));
  CHECK(mentions(refusal("{\"a\":" + a + ",\"b\":" + entry("\"U8\"", "[2]", "[1,3]") + "}", 3), "an overlap"));
  CHECK(mentions(refusal("{\"a\":" + a + ",\"b\":" + a + "}", 2), "an overlap"));
  CHECK(mentions(refusal("{\"a\":" + entry("\"U8\"", "[2]", "[1,3]") + "}", 3), "a hole"));
  CHECK(mentions(refusal("{\"a\":" + a + "}", 1), "truncated"));
  CHECK(mentions(refusal("{\"a\":" + a + "}", 3), "1 bytes follow"));
  CHECK(mentions(refusal("{}", 1), "follow the last tensor"));
  CHECK(mentions(refusal("{\"z\":" + entry("\"U8\"", "[0]", "[1,1]") + ",\"a\":" + a + "}", 2), "an overlap"));
}

TEST_CASE("length field") {
  const auto length = [](std::uint64_t field, std::uint64_t bytes) {
    return io::safetensors_header_length(field, bytes, "f");
  };
  CHECK(length(2, 10) == 2);
  CHECK(mentions(test::message_of<FormatError>([&] { length(3, 10); }), "truncated"));
  CHECK(mentions(test::message_of<FormatError>([&] { length(100'000'001, 1ULL << 40U); }), "above the limit"));
  CHECK_THROWS_AS(length(~0ULL, 10), FormatError);
  CHECK_THROWS_AS(length(~0ULL - 7, 10), FormatError);
}
