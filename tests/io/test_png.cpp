// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/png.hpp>

#include <doctest/doctest.h>

#include <hypersd/core/philox.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

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
