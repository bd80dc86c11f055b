// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/text.hpp>

#include <doctest/doctest.h>

#include <limits>

using namespace hypersd;

TEST_CASE("UTF-8") {
  for (const char* good : {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xEF\xBF\xBF", "\xED\x9F\xBF"})
    CHECK(io::valid_utf8(good));
  for (const char* bad : {"\x80", "\xC3", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xE2\x28\xAC", "a\xC3z"})
    CHECK_FALSE(io::valid_utf8(bad));
}

TEST_CASE("escapes") {
  CHECK(io::in_quotes("a\n\xFF") == "'a\\x0a\\xff'");
  CHECK(io::in_quotes(std::string(200, 'x'), 5) == "'xxxxx...'");
  CHECK(io::json_string("a\"\\\n\x01\xC3\xA9") == "\"a\\\"\\\\\\n\\u0001\xC3\xA9\"");
  CHECK(io::json_string("a\xFF") == "\"a\xEF\xBF\xBD\"");  // not UTF-8
  CHECK(io::xml_text("<a href='x'>&\"") == "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
  CHECK(io::xml_text("\xC3\xA9\x01") == "\xC3\xA9\xEF\xBF\xBD");
  CHECK(io::xml_text("\xFF") == "\xEF\xBF\xBD");
}

TEST_CASE("numbers") {
  CHECK(io::number(0.1) == "0.1");
  CHECK(io::number(-3.0) == "-3");
  CHECK(io::number(std::numeric_limits<double>::quiet_NaN()) == "nan");
  CHECK(io::number(-std::numeric_limits<double>::infinity()) == "-inf");
  CHECK(io::fixed(2.5, 2) == "2.50");
  CHECK(io::fixed(1e300, 1).size() == 303);
  CHECK(io::compact(0.0123456) == "0.01235");
  CHECK(io::compact(480.0) == "480");
  CHECK(io::compact(1.2e-7) == "1.2e-07");
}

TEST_CASE("durations") {
  CHECK(io::duration(7.2) == "0:07");
  CHECK(io::duration(59.9) == "1:00");
  CHECK(io::duration(750) == "12:30");
  CHECK(io::duration(11045) == "3:04:05");
  CHECK(io::duration(-1) == "-:--");
  CHECK(io::duration(std::numeric_limits<double>::infinity()) == "-:--");
}
