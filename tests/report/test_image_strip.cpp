// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/image_strip.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <hypersd/report/html_report.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using test::count;
using test::mentions;

namespace {

/// Images of 2 x 3 pixels, image i at level i of `n`.
Tensor<float> levels(std::int64_t n) {
  Tensor<float> images(Shape{n, 2, 3, 1});
  for (std::int64_t i = 0; i < n; ++i)
    images.slice(i, i + 1).fill(static_cast<float>(i) / static_cast<float>(n - 1) * 2 - 1);
  return images;
}

}  // namespace

TEST_CASE("The sheet holds the images row by row") {
  const io::Image sheet = report::detail::strip_sheet(levels(12), 3);
  CHECK(sheet.width == 4 * 3);
  CHECK(sheet.height == 3 * 2);
  for (int row = 0; row < 3; ++row)
    for (int column = 0; column < 4; ++column)
      for (const int inside : {0, 1})
        CHECK(*sheet.at(3 * column + inside, 2 * row + inside) == std::lround(255.0 * (4 * row + column) / 11));
}

TEST_CASE("The first choice is shown without the script") {
  // Three rows, two draws of two columns: four images a row.
  const std::string strip = report::image_strip(
      levels(12), {.rows = {"teacher", "1 step", "2 steps"}, .columns = {"coat", "bag"}, .below = 2});
  CHECK(mentions(strip,
                 "data-wide=\"4\" data-high=\"3\" style=\"--size:400% 300%;--sheet:url(data:image/png;base64,iVBOR"));
  // A background n times as large as its box stands at i / (n - 1).
  CHECK(mentions(strip,
                 "<div class=\"cell\"><i style=\"background-position:0% 0%\"></i>"
                 "<i style=\"background-position:0% 100%\"></i>"
                 "<i style=\"background-position:0% 0%,0% 100%\"></i><span>coat</span></div>"));
  CHECK(mentions(strip,
                 "<i style=\"background-position:33.3333% 0%\"></i>"
                 "<i style=\"background-position:33.3333% 100%\"></i>"));
  CHECK(count(strip, "<option selected value=\"0\">teacher</option>") == 1);
  CHECK(count(strip, "<option selected value=\"2\">2 steps</option>") == 1);
  CHECK(count(strip, "<option ") == 6);
  CHECK(mentions(strip, "<input type=\"range\" min=\"0\" max=\"1\""));
  CHECK_FALSE(mentions(report::image_strip(levels(4), {.rows = {"a", "b"}, .columns = {"c", "d"}}), "<input"));
}

TEST_CASE("A strip loads nothing, names are escaped, and two calls give the same bytes") {
  const report::StripOptions o{.title = "<b>", .rows = {"<script>", "\"&"}, .columns = {"<i>"}};
  const std::string strip = report::image_strip(levels(6), o);
  CHECK(count(strip, "<script") == 1);
  CHECK(mentions(strip, "&lt;script&gt;"));
  CHECK(mentions(strip, "<span>&lt;i&gt;</span>"));
  CHECK_FALSE(mentions(strip, "http"));
  CHECK(strip == report::image_strip(levels(6), o));
  report::HtmlReport page("t");
  CHECK(mentions(page.section("s").drawing(strip, "look here").html(), "<figcaption>look here</figcaption>"));
}

TEST_CASE("Images that do not fill the rows are refused") {
  const std::vector<std::string> two{"a", "b"};
  CHECK_THROWS_AS((void)report::image_strip(levels(6), {.rows = two, .columns = two}), ShapeError);
  CHECK_THROWS_AS((void)report::image_strip(levels(4), {.rows = {"a"}, .columns = two}), OptionError);
  CHECK_THROWS_AS((void)report::image_strip(levels(4), {.rows = two}), OptionError);
  CHECK_THROWS_AS((void)report::image_strip(levels(4), {.rows = two, .columns = two, .below = 2}), OptionError);
}
