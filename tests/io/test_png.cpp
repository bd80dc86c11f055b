// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/png.hpp>

#include <doctest/doctest.h>

#include <hypersd/core/philox.hpp>

#include <zlib.h>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

void append_word(std::string& out, std::uint32_t word) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) out += static_cast<char>(static_cast<unsigned char>(word >> shift));
}
void append_chunk(std::string& out, const std::string& type_and_data) {
  append_word(out, static_cast<std::uint32_t>(type_and_data.size() - 4));
  const auto* data = reinterpret_cast<const Bytef*>(type_and_data.data());
  out += type_and_data;
  append_word(out, static_cast<std::uint32_t>(crc32(0, data, static_cast<uInt>(type_and_data.size()))));
}
/// A colour picture that claims a size and has hardly any data.
std::string bomb(std::uint32_t width, std::uint32_t height) {
  std::string out("\x89PNG\r\n\x1a\n", 8), head = "IHDR";
  append_word(head, width);
  append_word(head, height);
  head += std::string("\x08\x02\0\0\0", 5);
  append_chunk(out, head);
  append_chunk(out, std::string("IDAT\x78\x9c\x03\x00\x00\x00\x00\x01", 12));
  append_chunk(out, "IEND");
  return out;
}

}  // namespace

TEST_CASE("round trip of grey and colour") {
  const test::TempFolder folder;
  for (const int channels : {1, 3}) {
    io::Image image(17, 9, channels);
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<std::uint8_t>(bits_at(stream(1, "png"), i));
    io::write_png(folder / "a.png", image);
    const io::Image back = io::read_png(folder / "a.png");
    CHECK(back.width == 17);
    CHECK(back.height == 9);
    CHECK(back.channels == channels);
    CHECK(back.pixels == image.pixels);
  }
  CHECK_THROWS_AS(io::encode_png(io::Image()), ShapeError);
}

TEST_CASE("broken files") {
  const test::TempFolder folder;
  const std::string bytes = io::encode_png(io::Image(20, 20, 3, 99));
  CHECK(mentions(message_of<FormatError>([] { io::decode_png("no picture", "x.png"); }), "'x.png'"));
  CHECK(mentions(message_of<IoError>([&] { io::read_png(folder / "none.png"); }), "none.png"));
  for (std::size_t n = 0; n + 13 < bytes.size(); ++n)
    CHECK_THROWS_AS(io::decode_png(bytes.substr(0, n), "x"), FormatError);
  std::string huge = bytes;
  huge[16] = huge[20] = '\x7F';  // width and height, without a fitting checksum
  CHECK_THROWS_AS(io::decode_png(huge, "x"), FormatError);
  for (std::uint64_t i = 0; i < 500; ++i) {
    std::string mutant = bytes;
    const auto size = static_cast<std::int64_t>(bytes.size());
    mutant[static_cast<std::size_t>(integer_at(stream(2, "png"), 2 * i, size))] =
        static_cast<char>(bits_at(stream(2, "png"), 2 * i + 1));
    try {
      io::decode_png(mutant, "x");
    } catch (const FormatError&) {
    }
  }
}

TEST_CASE("a picture's claims are checked before memory is allocated") {
  const auto refusal = [](const std::string& bytes, auto... limit) {
    return message_of<FormatError>([&] { io::decode_png(bytes, "b.png", limit...); });
  };
  CHECK(bomb(16384, 16384).size() == 65);
  CHECK(mentions(refusal(bomb(16384, 16384)),
                 "'b.png': 16384 x 16384 pixels of 3 bytes are above the limit of 268435456 bytes"));
  CHECK(mentions(refusal(bomb(9000, 9000)), "'b.png': truncated, 9000 x 9000 pixels are more than its 65 bytes"));
  const std::string small = io::encode_png(io::Image(20, 20, 3, 99));
  CHECK(mentions(refusal(small, 1199U), "20 x 20 pixels of 3 bytes are above the limit of 1199 bytes"));
  CHECK(io::decode_png(small, "b.png", 1200).pixels.size() == 1200);
  const io::Image black(4096, 4096, 1);  // what compresses best still reads
  CHECK(io::decode_png(io::encode_png(black), "black.png").pixels == black.pixels);
}

TEST_CASE("PNG texts: chunks before the image, with the specification's CRC; the image stays") {
  const io::Image image(3, 2, 3, 77);
  const std::string plain = io::encode_png(image);
  const std::string with = io::with_png_texts(plain, {{"parameters", "a caf\xC3\xA9"}, {"steps", ""}});
  CHECK(io::decode_png(with, "x.png").pixels == image.pixels);
  // CRC of the chunk that ends every PNG file (specification, section 11.2.5).
  CHECK(io::detail::png_crc("IEND") == 0xAE426082U);
  const std::size_t at = with.find("iTXt");
  REQUIRE(at == 8 + 25 + 4);
  const std::string data = std::string("parameters") + std::string(5, '\0') + "a caf\xC3\xA9";
  CHECK(with.substr(at + 4, data.size()) == data);
  CHECK(static_cast<std::size_t>(static_cast<unsigned char>(with[at - 1])) == data.size());
  CHECK(with.find("iTXt", at + 1) != std::string::npos);
  CHECK(with.size() == plain.size() + 2 * 12 + data.size() + 5 + 5);
  CHECK_THROWS_AS(io::with_png_texts(plain, {{"", "x"}}), OptionError);
  CHECK_THROWS_AS(io::with_png_texts(plain, {{"caf\xC3\xA9", "x"}}), OptionError);
  CHECK_THROWS_AS(io::with_png_texts(plain, {{std::string(80, 'a'), "x"}}), OptionError);
  CHECK_THROWS_AS(io::with_png_texts("GIF89a", {{"a", "x"}}), FormatError);
}
