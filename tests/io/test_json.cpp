// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/json_fields.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

using namespace hypersd;
using io::Json;

namespace {

std::string refusal(const std::string& text) {
  try {
    (void)Json::parse(text, "x.json");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}
template <class F>
std::string refused_field(const std::string& text, F&& read) {
  const Json json = Json::parse(text, "x.json");
  io::JsonFields fields(json, "x.json");
  try {
    read(fields);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("json: kinds of values, members by name") {
  const Json json = Json::parse(R"({"b": [1, -2, 2.5, 1e3, true, null, "\u00e9"], "a": {"c": {}}})", "x");
  const auto& list = *json.find("b")->as<Json::Array>();
  CHECK(*list[0].as<std::int64_t>() == 1);
  CHECK(*list[1].as<std::int64_t>() == -2);
  CHECK(*list[2].as<double>() == 2.5);
  CHECK(list[2].as<std::int64_t>() == nullptr);
  CHECK(list[3].number() == 1000);
  CHECK(*list[4].as<bool>());
  CHECK(list[5].is_null());
  CHECK(*list[6].as<std::string>() == "\xC3\xA9");
  CHECK(json.find("a")->find("c")->as<Json::Object>()->empty());
  CHECK(json.find("d") == nullptr);
  CHECK(list[0].find("a") == nullptr);
  CHECK(json.str() == "{\"a\": {\"c\": {}}, \"b\": [1, -2, 2.5, 1000, true, null, \"\xC3\xA9\"]}");
  CHECK(Json::parse(json.str(), "x").str() == json.str());
  CHECK(Json::parse("{\"a\": [1]}", "x") == Json::parse(" {\"a\":[1]}", "x"));
  CHECK(*Json::parse("9223372036854775807", "x").as<std::int64_t>() == INT64_MAX);
  CHECK(Json::parse("9223372036854775808", "x").as<std::int64_t>() == nullptr);
}

TEST_CASE("json: text with indentation; no text for numbers that are not finite") {
  const Json json = Json::Object{{"b", Json::Array{1.5, true}}, {"a", "x"}, {"c", Json::Object{}}};
  CHECK(json.str(2) == "{\n  \"a\": \"x\",\n  \"b\": [\n    1.5,\n    true\n  ],\n  \"c\": {}\n}");
  CHECK(Json::parse(json.str(2), "x") == json);
  CHECK_THROWS_AS((void)Json(1 / 0.0).str(), FormatError);
}

TEST_CASE("json: a member of a kind, or a message that begins as asked") {
  const Json json = Json::parse(R"({"a": 1, "b": "text"})", "x");
  CHECK(json.member<std::int64_t>("a", "f") == 1);
  CHECK(json.member<std::string>("b", "f") == "text");
  CHECK_THROWS_WITH_AS((void)json.member<std::string>("a", "file 'f'"),
                       "file 'f': no 'a', or of another kind than expected", FormatError);
  CHECK_THROWS_AS((void)json.member<std::string>("c", "f"), FormatError);
}

TEST_CASE("json: refused texts name the file and the rule") {
  CHECK(refusal("{\"a\": 1, \"a\": 2}") == "x.json: not valid JSON at byte 16: key 'a' occurs twice");
  CHECK(refusal("{\"a\": 1e999}").find("out of range") != std::string::npos);
  CHECK(refusal("\"\xFF\"").find("UTF-8") != std::string::npos);
  CHECK(refusal("[1, NaN]").find("at byte 4") != std::string::npos);
  CHECK(refusal(std::string(64, '[') + std::string(64, ']')) == "accepted");
  CHECK(refusal(std::string(65, '[') + std::string(65, ']')).find("nested more than 64") != std::string::npos);
  CHECK_THROWS_WITH_AS(io::read_json("/nowhere.json"), doctest::Contains("/nowhere.json"), IoError);
}

TEST_CASE("json: fields with defaults; wrong kinds, ranges and values are refused by name; unknown ones are listed") {
  const std::string text =
      R"({"n": 3, "x": 0.5, "s": "gelu", "l": [1, 2], "none": null, "flag": true, "other": 1, "_comment": 2})";
  const Json json = Json::parse(text, "x.json");
  io::JsonFields f(json, "x.json");
  CHECK(f.whole("n", 1) == 3);
  CHECK(f.whole("none", 7) == 7);
  CHECK(f.real("x", 0) == 0.5);
  CHECK(f.real("absent", 2) == 2);
  CHECK(f.text("s") == "gelu");
  CHECK(f.flag("flag", false));
  CHECK(f.wholes("l", {}) == std::vector<std::int64_t>{1, 2});
  CHECK(f.wholes_or_one("l", 1, 2) == std::vector<std::int64_t>{1, 2});
  CHECK(f.wholes_or_one("n", 1, 2) == std::vector<std::int64_t>{3, 3});
  CHECK(f.stated("none"));
  CHECK_FALSE(f.has("none"));
  f.require_one_of("s", {"\"silu\"", "\"gelu\""});
  CHECK(f.unknown() == std::vector<std::string>{"other"});

  CHECK(refused_field(text, [](auto& g) {
          g.require_one_of("s", {"\"silu\"", "3"});
        }) == "'x.json': 's' is \"gelu\": not supported, only \"silu\" or 3");
  CHECK(refused_field(text, [](auto& g) { g.whole("x", 1); }) ==
        "'x.json': 'x' is 0.5: whole numbers from 1 to 16777216 are needed");
  CHECK(refused_field(text, [](auto& g) { g.whole("n", 1, 4); }).find("from 4") != std::string::npos);
  CHECK(refused_field(text, [](auto& g) { g.wholes_or_one("l", 1, 3); }).find("3 numbers") != std::string::npos);
  CHECK(refused_field(text, [](auto& g) { g.flag("n", true); }).find("true or false") != std::string::npos);
  CHECK(refused_field(text, [](auto& g) { g.texts("l", {}); }).find("list of texts") != std::string::npos);
  CHECK_THROWS_AS(io::JsonFields(*json.find("n"), "x.json"), FormatError);
}
