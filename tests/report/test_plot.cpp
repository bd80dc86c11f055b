// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/plot.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

#include <limits>

using namespace hypersd;
using test::count;

TEST_CASE("lines, bands, markers and legend") {
  const std::vector<report::PlotSeries> series = {{.name = "TSCD",
                                                   .x = {1, 2, 4, 8},
                                                   .y = {40, 11, 7, 6},
                                                   .low = {38, 10, 6, 5},
                                                   .high = {42, 12, 8, 7},
                                                   .markers = true},
                                                  {.name = "teacher", .x = {1, 8}, .y = {8, 8}, .dashed = true}};
  const std::string svg = report::line_plot(
      series, {.title = "FD by steps", .x_label = "steps", .y_label = "FD", .log_x = true, .x_ticks = {1, 2, 4, 8}});
  CHECK(svg.substr(0, 4) == "<svg");
  CHECK(svg.find("xmlns") != std::string::npos);
  CHECK(count(svg, "<circle") == 4);
  CHECK(count(svg, "fill-opacity=\".16\"") == 1);
  CHECK(count(svg, "stroke-dasharray") == 2);  // line and legend
  CHECK(svg.find(">TSCD</text>") != std::string::npos);
  CHECK(svg.find("TSCD: 4, 7 (6 to 8)") != std::string::npos);
  CHECK(svg.find("nan") == std::string::npos);
}

TEST_CASE("the ninth series has the colour of the first, dots and squares") {
  std::vector<report::PlotSeries> series(9, {.name = "s", .x = {1, 2}, .y = {1, 2}, .markers = true});
  const std::string svg = report::line_plot(series);
  CHECK(count(svg, "<circle") == 16);
  CHECK(count(svg, "<rect x=") == 2);
  CHECK(count(svg, "</rect>") == 2);
  CHECK(count(svg, "stroke-dasharray=\"1 4\"") == 2);  // the line and its legend
  CHECK(count(svg, "stroke=\"#3b82f6\"") == 4);
}

TEST_CASE("muted series are grey, have no legend and take no colour") {
  std::vector<report::PlotSeries> series(3, {.name = "many", .x = {1, 2}, .y = {1, 2}, .markers = true, .muted = true});
  series[1] = {.name = "one", .x = {1, 2}, .y = {2, 1}};
  const std::string svg = report::line_plot(series);
  CHECK(svg.find(">many</text>") == std::string::npos);
  CHECK(svg.find("many: 1, 1") != std::string::npos);
  CHECK(count(svg, "stroke=\"#9ca3af\" stroke-width=\"1\"") == 2);
  CHECK(count(svg, "stroke=\"#3b82f6\"") == 2);        // the first colour: line and legend
  CHECK(svg.find("#3b82f6") < svg.find("#9ca3af"));    // the legend is first,
  CHECK(svg.rfind("#3b82f6") > svg.rfind("#9ca3af"));  // the line above all
}

TEST_CASE("text is escaped") {
  const std::string svg = report::line_plot({{.name = "<script>", .x = {0, 1}, .y = {0, 1}}}, {.title = "a & \"b\""});
  CHECK(svg.find("<script>") == std::string::npos);
  CHECK(svg.find("a &amp; &quot;b&quot;") != std::string::npos);
}

TEST_CASE("gaps and values that cannot be shown") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const report::PlotSeries s{.name = "", .x = {0, 1, 2, 3, 4, 5}, .y = {1, 2, nan, 3, inf, 5}};
  const std::string svg = report::line_plot({s});
  CHECK(count(svg, "<path") == 3);
  CHECK(count(svg, "h.1") == 2);
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  const std::string log = report::line_plot({{.x = {0, 1, 2}, .y = {0, -1, 2}}}, {.log_y = true});
  CHECK(count(log, "<path") == 1);
  CHECK(report::line_plot({}).find("</svg>") != std::string::npos);
  CHECK(report::line_plot({{.x = {nan}, .y = {nan}}}).find("nan") == std::string::npos);
}

TEST_CASE("long curves stay small and keep their peaks") {
  report::PlotSeries s;
  for (int i = 0; i < 100000; ++i) {
    s.x.push_back(i);
    s.y.push_back(i == 50000 ? 9.0 : 1.0 + 0.1 * (i % 7));
  }
  const std::string svg = report::line_plot({s});
  CHECK(svg.size() < 60000);
  const std::string smooth = report::line_plot({s}, {.smooth = true});
  CHECK(count(smooth, "<path") == 2);
}

TEST_CASE("lengths must agree") {
  CHECK_THROWS_AS(report::line_plot({{.x = {1, 2}, .y = {1}}}), OptionError);
  CHECK_THROWS_AS(report::line_plot({{.x = {1}, .y = {1}, .low = {1}}}), OptionError);
  CHECK_THROWS_AS(report::line_plot({}, {.width = 5}), OptionError);
}
