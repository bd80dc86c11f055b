// SPDX-License-Identifier: Apache-2.0
#include <hypersd/data/coco_masks.hpp>
//
#include <doctest/doctest.h>

#include <limits>
#include <string>

using namespace hypersd;

TEST_CASE("compressed run lengths of every size are read") {
  CHECK(data::runs_of_text("5220007") == std::vector<std::int64_t>{5, 2, 2, 2, 2, 2, 9});
  // A frame around a hole, as pycocotools writes it: long runs and differences of both signs.
  const std::string text =
      "c2R1600000000000000UO4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:LF4:"
      "La0000000000000000000000000000000000000U1";
  auto expected = Tensor<std::uint8_t>::zeros(Shape{40, 50});
  for (std::int64_t y = 3; y < 37; ++y)
    for (std::int64_t x = 2; x < 49; ++x) expected[y * 50 + x] = y >= 10 && y < 20 && x >= 10 && x < 30 ? 0 : 1;
  CHECK(data::mask_of_runs(data::runs_of_text(text), 40, 50).to_vector() == expected.to_vector());
  CHECK_THROWS_AS(data::runs_of_text("P"), FormatError);    // more is promised
  CHECK_THROWS_AS(data::runs_of_text("5 2"), FormatError);  // a blank
}

TEST_CASE("run lengths that overflow are refused") {
  const auto refused = [](const std::string& text, const char* words) {
    CHECK_THROWS_WITH_AS((void)data::runs_of_text(text), doctest::Contains(words), FormatError);
  };
  refused(std::string(10, 'o') + "O", "more than 50 bits");
  refused("O", "a length of -1");
  std::string rising = "1111";
  for (int i = 0; i < 200; ++i) rising += "ooooooo7";  // each 2^39 more than the one before the last
  refused(rising, "a length of 1");
  CHECK_THROWS_AS((void)data::mask_of_runs({1, INT64_MAX}, 4, 4), FormatError);
  CHECK_THROWS_AS((void)data::mask_of_runs({-1, 17}, 4, 4), FormatError);
  CHECK_THROWS_AS((void)data::mask_of_runs({1}, INT64_MAX, 4), ShapeError);
}

TEST_CASE("a polygon's coordinates are finite and bounded, and clipped to the mask") {
  auto mask = Tensor<std::uint8_t>::zeros(Shape{2, 3});
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinity, -infinity, 1e300, -2e6})
    for (std::size_t at = 0; at < 6; ++at) {
      std::vector<double> points{0, 0, 2, 0, 2, 2};
      points[at] = bad;
      CHECK_THROWS_WITH_AS(data::fill_polygon(mask, points), doctest::Contains("a polygon's coordinate"), FormatError);
    }
  CHECK(mask.to_vector() == std::vector<std::uint8_t>(6, 0));
  data::fill_polygon(mask, {-1e6, -1e6, 1e6, -1e6, 1e6, 1.4, -1e6, 1.4});
  CHECK(mask.to_vector() == std::vector<std::uint8_t>{1, 1, 1, 0, 0, 0});
}
