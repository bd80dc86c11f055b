// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/svg.hpp>

#include <doctest/doctest.h>

using namespace hypersd::report::detail;

TEST_CASE("text is escaped, and its width counts letters, not bytes") {
  CHECK(svg_text(1, 2.25, "a < b", "class=\"soft\"") == "<text x=\"1.0\" y=\"2.2\" class=\"soft\">a &lt; b</text>\n");
  CHECK(svg_text_width("\xC3\xB1", 10) == svg_text_width("n", 10));
  CHECK(svg_text_width("two words", 20) == 2 * svg_text_width("two words", 10));
}

TEST_CASE("a drawing has a size, a label and its own background in both schemes") {
  const std::string svg = svg_open("plot", 30, 20, "a \"b\"");
  CHECK(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 30 20\" width=\"30\""));
  CHECK(svg.find("role=\"img\" aria-label=\"a &quot;b&quot;\"") != std::string::npos);
  CHECK(svg.find("<rect class=\"paper\" width=\"30\" height=\"20\"/>") != std::string::npos);
  CHECK(svg.find("@media(prefers-color-scheme:dark)") != std::string::npos);
}
