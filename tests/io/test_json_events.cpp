// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/json_events.hpp>

#include <doctest/doctest.h>

#include <hypersd/core/philox.hpp>
#include <nlohmann/json.hpp>

using namespace hypersd;

namespace {

/// Rebuilds compact JSON text from the events.
struct Recorder {
  std::string text;

  bool put(const std::string& part) {
    text += part + " ";
    return true;
  }
  bool null() { return put("null"); }
  bool boolean(bool b) { return put(b ? "true" : "false"); }
  bool number(io::JsonNumber kind, std::uint64_t value, std::string_view spelling) {
    switch (kind) {
      case io::JsonNumber::Unsigned: return put("u" + std::to_string(value));
      case io::JsonNumber::Negative: return put("i" + std::string(spelling));
      default: return put("r" + std::string(spelling));
    }
  }
  bool string(std::string& s) { return put("s<" + s + ">"); }
  bool key(std::string& s) { return put("k<" + s + ">"); }
  bool start_object() { return put("{"); }
  bool end_object() { return put("}"); }
  bool start_array() { return put("["); }
  bool end_array() { return put("]"); }
};

std::string events(std::string_view text) {
  Recorder recorder;
  io::JsonEvents json(text, recorder);
  if (!json.parse()) return "error: " + json.error();
  return recorder.text;
}

}  // namespace

TEST_CASE("events of valid text") {
  CHECK(events(" {\"a\" : [1, -2,3.5 ,1e3, true,false,null], \"b\":{}} ") ==
        "{ k<a> [ u1 i-2 r3.5 r1e3 true false null ] k<b> { } } ");
  CHECK(events("[]") == "[ ] ");
  CHECK(events("18446744073709551615") == "u18446744073709551615 ");
  CHECK(events("18446744073709551616") == "r18446744073709551616 ");
  CHECK(events("-0") == "i-0 ");
  CHECK(events(R"("\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00")") ==
        "s<\"\\/\b\f\n\r\tA\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80> ");
}

TEST_CASE("text that is not JSON") {
  for (const char* bad : {"",
                          " ",
                          "{",
                          "}",
                          "[",
                          "[1",
                          "[1,",
                          "[1,]",
                          "[,1]",
                          "[1 2]",
                          "{\"a\"}",
                          "{\"a\":}",
                          "{a:1}",
                          "{\"a\":1,}",
                          "{\"a\":1 \"b\":2}",
                          "[1}",
                          "{\"a\":1]",
                          "01",
                          "-",
                          "-a",
                          "1.",
                          ".5",
                          "1e",
                          "1e+",
                          "+1",
                          "nul",
                          "nulll",
                          "True",
                          "\"",
                          "\"\\",
                          "\"\\x\"",
                          "\"\\u12\"",
                          "\"\\u12g4\"",
                          "\"\\u-123\"",
                          "\"\\ud800\"",
                          "\"\\ud800\\u0041\"",
                          "\"\\udc00\"",
                          "\"\n\"",
                          "[] []",
                          "1 2",
                          "// x\n1"})
    CHECK_MESSAGE(events(bad).substr(0, 6) == "error:", bad);
}

TEST_CASE("text after a NUL is refused, which nlohmann's parser accepts") {
  const std::string text("{}\0rest", 7);
  CHECK(events(text) == "error: text after the value");
  CHECK(nlohmann::json::accept(text));
}

TEST_CASE("a handler can stop") {
  struct Stop : Recorder {
    bool key(std::string&) { return false; }
  } stop;
  io::JsonEvents json("{\"a\":1}", stop);
  CHECK_FALSE(json.parse());
  CHECK(json.error().empty());
}

TEST_CASE("deep nesting needs no stack") {
  const std::string deep(1'000'000, '[');
  CHECK(events(deep) == "error: the text ends where a value is due");
}

TEST_CASE("accepts what another parser accepts") {
  const std::string seed = R"({"a":{"x":[1,-2.5e3,true],"\u00e9":"s\n"},"b":[null,{}],"c":"\ud83d\ude00"})";
  const Stream random = stream(3, "json");
  const std::string alphabet = "{}[]\",:\\u0d8e1-.+tn \n";
  int valid = 0;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    std::string text = seed;
    for (std::uint64_t k = 0; k < 1 + i % 3; ++k) {
      const auto at =
          static_cast<std::size_t>(integer_at(random, 8 * i + 2 * k, static_cast<std::int64_t>(text.size())));
      const char c = alphabet[bits_at(random, 8 * i + 2 * k + 1) % alphabet.size()];
      if (i % 2 == 0) {
        text[at] = c;
      } else {
        text.insert(at, 1, c);
      }
    }
    const bool mine = events(text).substr(0, 6) != "error:";
    valid += mine ? 1 : 0;
    REQUIRE_MESSAGE(mine == nlohmann::json::accept(text), text);
  }
  CHECK(valid > 100);
}
