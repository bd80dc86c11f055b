// SPDX-License-Identifier: Apache-2.0
#include <hypersd/text/unicode.hpp>

#include "clip_files.hpp"

using namespace hypersd;

TEST_CASE("unicode: classes of all characters of Unicode 14 as in the peer's patterns") {
  const auto golden = clip_files::json("clip_characters.json");
  int counted = 0;
  for (const auto& [name, kind] : {std::pair<std::string, text::CharClass>{"letter", text::CharClass::letter},
                                   {"number", text::CharClass::number},
                                   {"space", text::CharClass::space}}) {
    int wrong = 0;
    for (const auto& range : golden["ranges"][name])
      for (char32_t c = range[0]; c <= static_cast<char32_t>(range[1]); ++c, ++counted)
        wrong += text::char_class(c) != kind;
    CHECK_MESSAGE(wrong == 0, name);
  }
  CHECK(counted > 130000);
  // Neighbours of the ranges belong to other classes.
  for (const auto& range : golden["ranges"]["space"]) {
    CHECK(text::char_class(static_cast<char32_t>(range[0]) - 1) != text::CharClass::space);
    CHECK(text::char_class(static_cast<char32_t>(range[1]) + 1) != text::CharClass::space);
  }
  for (const char32_t c : {0x1CU, 0x1FU, 0x200BU, 0xFEFFU, 0x301U, 0x20DDU, 0x1F600U, 0xE000U})
    CHECK(text::char_class(c) == text::CharClass::other);
}

TEST_CASE("unicode: composition and lower case of all characters as in the peer") {
  const auto golden = clip_files::json("clip_characters.json")["changed"];
  CHECK(golden.size() > 2000);
  const auto ranges = clip_files::json("clip_characters.json")["ranges"];
  const auto normal = [](char32_t c) {
    std::u32string out;
    for (const char32_t d : text::nfc(std::u32string(1, c))) text::append_lower(out, d);
    return out;
  };
  int wrong = 0, same = 0;
  for (const auto& [code, after] : golden.items())
    wrong +=
        normal(static_cast<char32_t>(std::stoul(code, nullptr, 16))) != text::decode_utf8(after.get<std::string>());
  for (const auto& range : ranges["letter"])
    for (char32_t c = range[0]; c <= static_cast<char32_t>(range[1]); ++c) {
      std::array<char, 16> hex{};
      std::snprintf(hex.data(), hex.size(), "%X", static_cast<unsigned>(c));
      if (golden.contains(hex.data())) continue;
      wrong += normal(c) != std::u32string(1, c);
      ++same;
    }
  CHECK(wrong == 0);
  CHECK(same > 100000);
}

TEST_CASE("unicode: NFC orders marks, composes Hangul and keeps U+11A7") {
  CHECK(text::nfc(U"e\u0301") == U"\u00e9");
  CHECK(text::nfc(U"q\u0307\u0323") == U"q\u0323\u0307");
  CHECK(text::nfc(U"\u0344") == U"\u0308\u0301");
  CHECK(text::nfc(U"\u1112\u1161\u11ab") == U"\ud55c");
  CHECK(text::nfc(U"\uac38\u11a7") == U"\uac38\u11a7");
  CHECK(text::nfc(U"\u11a7e\u0301\u11a7\u11a7") == U"\u11a7\u00e9\u11a7\u11a7");
  CHECK(text::nfc(U"\uac38\u11a8") == U"\uac39");
  CHECK(text::nfc(U"").empty());
  // 10^5 marks in the worst order; a quadratic sort would take minutes.
  std::u32string marks = U"a";
  for (int i = 0; i < 50000; ++i) marks += U"\u0301\u0316";
  const auto sorted = text::nfc(marks);
  CHECK(sorted.size() == marks.size() - 1);
  CHECK(sorted[0] == U'\u00e1');
  CHECK(sorted[1] == U'\u0316');
  CHECK(sorted.back() == U'\u0301');
}

TEST_CASE("unicode: malformed UTF-8 is refused with its place") {
  CHECK(text::decode_utf8("a\xC3\xA9\xF0\x9F\x98\x80") == U"a\u00e9\U0001f600");
  for (const std::string bad : {"ab\x80", "ab\xC3", "ab\xC0\x80", "ab\xED\xA0\x80", "ab\xF4\x90\x80\x80", "ab\xFF"})
    CHECK(test::mentions(test::message_of<FormatError>([&] { text::decode_utf8(bad); }), "byte 2 is not valid UTF-8"));
}
