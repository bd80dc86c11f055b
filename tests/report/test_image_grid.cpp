// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/image_grid.hpp>

#include <doctest/doctest.h>

using namespace hypersd;

namespace {

/// Value of the first attribute called `name` from `from` on.
std::string attribute(const std::string& svg, const std::string& name, const std::string& from = "<svg") {
  const std::size_t at = svg.find(" " + name + "=\"", svg.find(from)) + name.size() + 3;
  return svg.substr(at, svg.find('"', at) - at);
}

int number(const std::string& svg, const std::string& name, const std::string& from = "<svg") {
  return std::stoi(attribute(svg, name, from));
}

/// The embedded PNG file, decoded.
io::Image cells(const std::string& svg) {
  const std::string text = attribute(svg, "href", "<image").substr(std::string("data:image/png;base64,").size());
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned buffer = 0, bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    buffer = (buffer << 6U) | static_cast<unsigned>(letters.find(c));
    bits += 6;
    if (bits >= 8) bits -= 8, bytes += static_cast<char>(buffer >> bits);
    buffer &= (1U << bits) - 1;
  }
  return io::decode_png(bytes, "grid");
}

}  // namespace

TEST_CASE("cells, padding and scale") {
  Tensor<float> images(Shape{5, 2, 3, 1});
  for (std::int64_t i = 0; i < 5; ++i) images.slice(i, i + 1).fill(static_cast<float>(i) / 4.0F * 2.0F - 1.0F);
  const std::string svg = report::image_grid(images, {.columns = 2, .scale = 3, .padding = 4});
  CHECK(number(svg, "width") == 4 + 2 * (9 + 4));
  CHECK(number(svg, "height") == 4 + 3 * (6 + 4));
  CHECK(number(svg, "x", "<image") == 4);
  CHECK(number(svg, "y", "<image") == 4);
  const io::Image grid = cells(svg);
  CHECK(grid.width == 9 + 4 + 9);
  CHECK(grid.height == 6 + 4 + 6 + 4 + 6);
  CHECK(*grid.at(0, 0) == 0);
  CHECK(*grid.at(8, 5) == 0);
  CHECK(*grid.at(9, 5) == 0);  // gaps continue the cells
  CHECK(*grid.at(12, 9) == 0);
  CHECK(*grid.at(13, 10) == io::to_byte(0.5F));
  CHECK(*grid.at(0, 20) == 255);
  // The gap between the columns, those between the rows, and the place of a sixth image.
  CHECK(attribute(svg, "d", "<path") == "M13 4h4v30h-4zM4 10h26v4h-26zM4 20h26v4h-26zM17 24h13v6h-13z");
  CHECK(number(report::image_grid(images), "width") == 2 + 3 * (6 + 2));
}

TEST_CASE("groups and captions") {
  const auto images = Tensor<float>::full({8, 4, 4, 3}, -1.0F);
  report::GridOptions o{.columns = 4, .scale = 16, .padding = 2, .group = 2, .group_gap = 12};
  const int bare = number(report::image_grid(images, o), "width");
  CHECK(bare == 2 + 4 * 64 + 2 + 12 + 2 + 2);
  o.column_captions = {"teacher", "1 < 2"};
  o.row_captions = {"bag", "ankle boot"};
  const std::string svg = report::image_grid(images, o);
  const int left = number(svg, "x", "<image"), top = number(svg, "y", "<image");
  CHECK(number(svg, "width") == bare - 2 + left);
  CHECK(left > 14 + report::detail::svg_text_width("ankle boot", 13) - 1);
  CHECK(top > 13);
  CHECK(number(svg, "height") == top + 2 * (64 + 2));
  // A caption stands over the middle of its group.
  CHECK(number(svg, "x", "<text") == left + 65);
  CHECK(svg.find(">teacher</text>") != std::string::npos);
  CHECK(svg.find(">1 &lt; 2</text>") != std::string::npos);
  CHECK(svg.find("text-anchor=\"end\">ankle boot</text>") != std::string::npos);
  CHECK(svg.find("textLength") == std::string::npos);
  o.column_captions = {"a", "a caption longer than its column", "c", "d"};
  CHECK(attribute(report::image_grid(images, o), "textLength") == "64");
}

TEST_CASE("invalid shapes and options throw") {
  const auto images = Tensor<float>::zeros({4, 2, 2, 1});
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({4, 2, 2})), ShapeError);
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({4, 2, 2, 2})), ShapeError);
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({0, 2, 2, 1})), ShapeError);
  CHECK_THROWS_AS(report::image_grid(images, {.scale = 0}), OptionError);
  CHECK_THROWS_AS(report::image_grid(images, {.columns = 2, .column_captions = {"a"}}), OptionError);
  CHECK_THROWS_AS(report::image_grid(images, {.columns = 2, .row_captions = {"a"}}), OptionError);
  CHECK_THROWS_AS(report::image_grid(Tensor<float>::zeros({4000, 16, 1, 1}), {.columns = 1}), ShapeError);
}
