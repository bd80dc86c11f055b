// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/image_grid.hpp>

#include <doctest/doctest.h>

using namespace hypersd;

TEST_CASE("cells, padding and scale") {
  Tensor<float> images(Shape{5, 2, 3, 1});
  for (std::int64_t i = 0; i < 5; ++i) images.slice(i, i + 1).fill(static_cast<float>(i) / 4.0F * 2.0F - 1.0F);
  const io::Image grid = report::image_grid(images, {.columns = 2, .scale = 3, .padding = 4});
  CHECK(grid.width == 4 + 2 * (9 + 4));
  CHECK(grid.height == 4 + 3 * (6 + 4));
  CHECK(*grid.at(3, 3) == 255);
  CHECK(*grid.at(4, 4) == 0);
  CHECK(*grid.at(12, 9) == 0);
  CHECK(*grid.at(13, 9) == 255);
  CHECK(*grid.at(17, 14) == io::to_byte(0.5F));
  CHECK(*grid.at(4, 24) == 255);
  CHECK(report::image_grid(images).width == 2 + 3 * (6 + 2));
}

TEST_CASE("groups and captions") {
  const auto images = Tensor<float>::full({8, 4, 4, 3}, -1.0F);
  report::GridOptions o{.columns = 4, .scale = 8, .padding = 2, .group = 2, .group_gap = 12};
  o.column_captions = {"teacher", "student"};
  o.row_captions = {"bag", "ankle boot"};
  const io::Image grid = report::image_grid(images, o);
  const int left = report::text_width("ankle boot") + 8;
  CHECK(grid.width == left + 4 * 32 + 2 + 12 + 2 + 2);
  CHECK(grid.height == 14 + 2 * (32 + 2));
  CHECK(grid.at(left, 14)[0] == 0);
  CHECK(grid.at(left + 66, 14)[0] == 255);
  CHECK(grid.at(left + 78, 14)[0] == 0);
  o.column_captions = {"a", "b", "c", "d"};
  CHECK(report::image_grid(images, o).width == grid.width);
}

TEST_CASE("what does not fit is refused") {
  const auto images = Tensor<float>::zeros({4, 2, 2, 1});
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({4, 2, 2})), ShapeError);
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({4, 2, 2, 2})), ShapeError);
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({0, 2, 2, 1})), ShapeError);
  CHECK_THROWS_AS(report::image_grid(images, {.scale = 0}), OptionError);
  CHECK_THROWS_AS(report::image_grid(images, {.columns = 2, .column_captions = {"a"}}), OptionError);
  CHECK_THROWS_AS(report::image_grid(images, {.columns = 2, .row_captions = {"a"}}), OptionError);
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({4000, 16, 1, 1}), {.columns = 1}), ShapeError);
}
