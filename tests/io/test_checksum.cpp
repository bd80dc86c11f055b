// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/checksum.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

std::string with_checksums() {
  io::SafetensorsWriter writer;
  writer.metadata["step"] = "120";
  writer.add("a", Tensor<float>::full(Shape{300, 1000}, 2.0F));  // longer than a block
  writer.add("b.weight", Tensor<std::int32_t>::ones(Shape{3}));
  writer.add("empty", Tensor<float>::zeros(Shape{0}));
  io::add_checksums(writer);
  return writer.to_bytes();
}

std::string refusal(const std::string& bytes) {
  return message_of<FormatError>(
      [&] { io::verify_checksums(io::SafetensorsFile::from_bytes(bytes, "c.safetensors")); });
}

}  // namespace

TEST_CASE("CRC-32 has the check value of its definition, in one block or several") {
  io::Crc32 whole, parts;
  whole.add("123456789", 9);
  parts.add("1234", 4);
  parts.add("", 0);
  parts.add("56789", 5);
  CHECK(whole.text() == "cbf43926");
  CHECK(parts.text() == "cbf43926");
  CHECK(io::Crc32().text() == "00000000");
}

TEST_CASE("a flipped bit of any tensor or of the metadata is found and named") {
  const std::string bytes = with_checksums();
  io::verify_checksums(io::SafetensorsFile::from_bytes(bytes));
  const auto flipped = [&](std::size_t at, int bit) {
    std::string out = bytes;
    out[at] = static_cast<char>(out[at] ^ (1 << bit));
    return refusal(out);
  };
  const std::size_t end = bytes.size();
  CHECK(mentions(flipped(end - 1, 7), "'c.safetensors' is damaged: tensor 'b.weight' has CRC-32 "));
  CHECK(mentions(flipped(end - 13, 0), "tensor 'a'"));
  CHECK(mentions(flipped(end - 12 - 1200000, 3), "tensor 'a'"));
  CHECK(mentions(flipped(bytes.find("\"120\"") + 2, 1), "metadata"));
  std::string other = bytes;  // as many bytes, none of them a checksum
  other.replace(other.find("crc32 a"), 7, "crc33 a");
  CHECK(mentions(refusal(other), "damaged"));
}

TEST_CASE("a file without checksums is refused") {
  io::SafetensorsWriter writer;
  writer.add("a", Tensor<float>::ones(Shape{2}));
  CHECK(mentions(refusal(writer.to_bytes()), "has no checksums"));
}
