// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/safetensors_writer.hpp>

#include <doctest/doctest.h>

#include <hypersd/io/safetensors.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

TEST_CASE("exact layout of a small file") {
  io::SafetensorsWriter w;
  w.metadata = {{"k", "v"}};
  w.add("b", Tensor<std::uint8_t>::from({1}, {9}));
  w.add("a", Tensor<float>::from({1}, {1.0F}));
  const std::string bytes = w.to_bytes();
  const std::string json = R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                           R"("b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}})";
  const std::size_t padded = (json.size() + 7) / 8 * 8;
  REQUIRE(bytes.size() == 8 + padded + 5);
  CHECK(static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) == padded);
  CHECK(bytes.substr(8, json.size()) == json);
  CHECK(bytes.substr(8 + json.size(), padded - json.size()) == std::string(padded - json.size(), ' '));
  CHECK(bytes.back() == 9);
}

TEST_CASE("bytes do not depend on the order of add") {
  const auto x = Tensor<float>::ones({2});
  const auto y = Tensor<double>::ones({2});
  io::SafetensorsWriter one, two;
  one.add("x", x);
  one.add("y", y);
  two.add("y", y);
  two.add("x", x);
  CHECK(one.to_bytes() == two.to_bytes());
}

TEST_CASE("nothing but metadata, and nothing at all") {
  io::SafetensorsWriter w;
  CHECK(io::SafetensorsFile::from_bytes(w.to_bytes()).metadata("format", "") == "pt");
  w.metadata.clear();
  CHECK(w.to_bytes().substr(8) == "{}      ");
  CHECK(io::SafetensorsFile::from_bytes(w.to_bytes()).size() == 0);
}

TEST_CASE("names that cannot be") {
  io::SafetensorsWriter w;
  const auto x = Tensor<float>::ones({2});
  w.add("x", x);
  CHECK(mentions(message_of<FormatError>([&] { w.add("x", x); }), "'x' was added twice"));
  CHECK_THROWS_AS(w.add("__metadata__", x), FormatError);
  CHECK_THROWS_AS(w.add("\xFF", x), FormatError);
  CHECK_THROWS_AS(w.add("undefined", Tensor<float>()), ShapeError);
  w.metadata["bad"] = "\x80";
  CHECK_THROWS_AS((void)w.to_bytes(), FormatError);
}

TEST_CASE("strange names come back") {
  io::SafetensorsWriter w;
  const std::vector<std::string> names = {"", std::string("\0x", 2), "\"\\\n\t\x7F", "\xE2\x82\xAC"};
  for (const auto& name : names) w.add(name, Tensor<float>::ones({1}));
  const auto f = io::SafetensorsFile::from_bytes(w.to_bytes());
  for (const auto& name : names) CHECK(f.contains(name));
}

TEST_CASE("a failed write leaves the old file") {
  const test::TempFolder folder;
  io::SafetensorsWriter w;
  w.add("x", Tensor<float>::ones({2}));
  w.write(folder / "f");
  const std::string old = io::read_file(folder / "f");
  w.metadata["bad"] = "\x80";
  CHECK_THROWS_AS(w.write(folder / "f"), FormatError);
  CHECK(io::read_file(folder / "f") == old);
  CHECK(folder.count() == 1);
  CHECK(mentions(message_of<IoError>([&] { io::SafetensorsWriter().write(folder / "no/such/f"); }), "no/such/f"));
}
