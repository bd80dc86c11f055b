// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/pixel_text.hpp>

#include <doctest/doctest.h>

#include <algorithm>

using namespace hypersd;

namespace {

std::int64_t ink(const io::Image& image) { return std::count(image.pixels.begin(), image.pixels.end(), 0); }

}  // namespace

TEST_CASE("text is drawn within its width") {
  const std::string text = "Teacher, 25 steps (q)";
  const int width = report::text_width(text);
  CHECK(width > 60);
  CHECK(report::text_width(text, 3) == 3 * width);
  io::Image exact(width, report::text_height, 1, 255), wide(width + 50, report::text_height + 20, 1, 255);
  report::draw_text(exact, 0, 0, text);
  report::draw_text(wide, 20, 10, text);
  CHECK(ink(exact) > 100);
  CHECK(ink(exact) == ink(wide));
}

TEST_CASE("every letter draws pixels; other bytes are drawn as question marks") {
  for (int c = 33; c < 127; ++c) {
    io::Image image(16, 16, 1, 255);
    report::draw_text(image, 2, 2, std::string(1, static_cast<char>(c)));
    CHECK_MESSAGE(ink(image) > 0, c);
  }
  io::Image mark(16, 16, 1, 255), other(16, 16, 1, 255);
  report::draw_text(mark, 0, 0, "?");
  for (const char* bad : {"\x7F", "\xFF", "\n"}) {
    other.pixels.assign(256, 255);
    report::draw_text(other, 0, 0, bad);
    CHECK(other.pixels == mark.pixels);
  }
}

TEST_CASE("text outside is clipped") {
  io::Image image(5, 5, 3, 255);
  report::draw_text(image, -3, -3, "clipped text", 2);
  report::draw_text(image, 100, 100, "outside", 2);
  CHECK(image.pixels.size() == 75);
}
