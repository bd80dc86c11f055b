// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/html_report.hpp>

#include <doctest/doctest.h>

#include <hypersd/report/image_grid.hpp>
#include <hypersd/report/plot.hpp>

#include <temp_folder.hpp>

using namespace hypersd;
using test::count;
using test::mentions;

TEST_CASE("everything is escaped") {
  const std::string evil = "<script>alert('x')</script>";
  report::HtmlReport report(evil, evil);
  report.section(evil).section("two").heading(evil).paragraph(evil).note(evil).bullets({evil}).code(evil).footer(evil);
  report.cards({{evil, evil, evil, evil}}).key_values({{evil, evil}}).begin_details(evil).end_details();
  report.table({{{evil}}, {{{evil}}}, evil}).drawing("", evil);
  report.table({{{evil}}, {{{report::ReportCell(1.0, 1, 0.5, evil)}}}});
  const std::string html = report.html();
  CHECK(html.find("<script") == std::string::npos);
  CHECK(count(html, "&lt;script&gt;") >= 20);
}

TEST_CASE("inline marks") {
  report::HtmlReport report("t");
  report.paragraph("run `a<b` and **strong** but 2 * 3 ** 4 and a lone ` stay");
  const std::string html = report.html();
  CHECK(mentions(html, "run <code>a&lt;b</code> and <strong>strong</strong> but 2 * 3 ** 4 and a lone ` stay"));
  CHECK(mentions(report::HtmlReport("").paragraph("``").paragraph("****").html(), "<p>``</p>\n<p>****</p>"));
}

TEST_CASE("best values, ties, references and intervals") {
  report::HtmlReport report("t");
  report.table({{{"method"}, {"FD", report::Best::Lowest}, {"agreement", report::Best::Highest}},
                {{{"teacher", {1.0, 1}, {99.0, 1, 0.5, "%"}}, true},
                 {{"TCD", {8.41, 1, 0.23}, {86.0, 1}}},
                 {{"TSCD", {6.70, 1}, {91.04, 1}}},
                 {{"other", {6.72, 1}, {91.0, 1}}},
                 {{"failed", {std::nan(""), 1}, "-"}}}});
  const std::string html = report.html();
  CHECK(count(html, "<td class=\"best\">6.7</td>") == 2);
  CHECK(count(html, "<td class=\"best\">91.0</td>") == 2);
  CHECK(count(html, "class=\"best\"") == 4);
  CHECK(mentions(html, "8.4<span class=\"pm\">&plusmn; 0.2</span>"));
  CHECK(mentions(html, "<tr class=\"reference\"><td class=\"text\">teacher</td><td>1.0</td><td>99.0%"));
  CHECK(mentions(html, "<td>nan</td>"));
  CHECK_THROWS_AS(report.table({{{"a"}, {"b"}}, {{{"one"}}}}), ShapeError);
}

TEST_CASE("self-contained and well nested") {
  const test::TempFolder folder;
  report::HtmlReport report("Report");
  report.section("One").drawing(report::image_grid(Tensor<float>::zeros({2, 4, 4, 3})), "c");
  report.begin_columns().drawing(report::line_plot({{.x = {0, 1}, .y = {0, 1}}}), "curve").end_columns().section("Two");
  report.save(folder / "r.html");
  const std::string html = io::read_file(folder / "r.html");
  CHECK(mentions(html, "href=\"data:image/png;base64,iVBOR"));
  CHECK(count(html, "http://") ==
        count(html, "xmlns=\"http://www.w3.org/2000/svg\""));  // a name, not an address to load
  CHECK(html.find("https://") == std::string::npos);
  for (const char* tag : {"section", "figure", "div", "main", "nav", "header"})
    CHECK(count(html, std::string("<") + tag) == count(html, std::string("</") + tag + ">"));
}
