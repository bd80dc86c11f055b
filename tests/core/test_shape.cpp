// SPDX-License-Identifier: Apache-2.0
#include <hypersd/core/shape.hpp>
//
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using namespace hypersd;

TEST_CASE("Axes, sizes and text of a shape") {
  const Shape s{2, 3, 4};
  CHECK(s.rank() == 3);
  CHECK(s[0] == 2);
  CHECK(s[-1] == 4);
  CHECK(s[-3] == 2);
  CHECK(s.numel() == 24);
  CHECK(s.numel_from(1) == 12);
  CHECK(s.numel_from(3) == 1);
  CHECK(s.str() == "[2, 3, 4]");
  CHECK(Shape{}.numel() == 1);
  CHECK(Shape{}.str() == "[]");
  CHECK(Shape{5, 0}.numel() == 0);
  const std::vector<int> dims{7, 8};
  CHECK(Shape(dims.begin(), dims.end()) == Shape{7, 8});
}

TEST_CASE("Shapes compare by rank and extents") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2, 3} == Shape{2, 3, 1});
  CHECK(Shape{2, 3}.with(-1, 9) == Shape{2, 9});
  CHECK(Shape{2, 3}.with(0, 0) == Shape{0, 3});
}

TEST_CASE("A wrong axis or extent is named") {
  CHECK_THROWS_WITH_AS((void)Shape({2, 3})[2], "axis 2 of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS((void)Shape({2, 3})[-3], "axis -3 of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS((void)Shape({2, 3}).with(2, 1), "axis 2 = 1 in shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(Shape({2, -3}), "negative extent -3", ShapeError);
  CHECK_THROWS_WITH_AS(Shape({1, 1, 1, 1, 1, 1, 1}), "a shape has at most 6 axes", ShapeError);
}

TEST_CASE("An element count beyond 63 bits is refused with the shape") {
  const std::int64_t big = std::int64_t{1} << 32;
  const char* text = "shape [4294967296, 4294967296] is too large: its number of elements exceeds 2^63 - 1";
  CHECK_THROWS_WITH_AS((void)Shape({big, big}).numel(), text, ShapeError);
  CHECK_THROWS_WITH_AS((void)Shape({1, big, big}).numel_from(1), doctest::Contains("[1, 4294967296, 4294967296]"),
                       ShapeError);
  CHECK_THROWS_AS((void)Shape({INT64_MAX, 2}).numel(), ShapeError);
  CHECK(Shape({INT64_MAX, 1}).numel() == INT64_MAX);
  CHECK(Shape({big, big / 2 - 1}).numel() == big * (big / 2 - 1));
}

TEST_CASE("A shape fits where its bytes are countable, zeros set aside") {
  const std::int64_t big = std::int64_t{1} << 61;
  CHECK(Shape{}.fits(8));
  CHECK(Shape{big}.fits(3));
  CHECK_FALSE(Shape{big}.fits(4));
  CHECK_FALSE(Shape{0, big, 8}.fits());  // a kernel may multiply the last two extents
  CHECK(Shape{0, big}.fits());
}
