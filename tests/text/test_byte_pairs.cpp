// SPDX-License-Identifier: Apache-2.0
#include <hypersd/text/byte_pairs.hpp>

#include <algorithm>
#include <random>
#include <set>

#include "clip_files.hpp"

using namespace hypersd;

namespace {

/// The definition: joins the known pair of the lowest rank, the leftmost of equals, until there is none.
std::vector<std::string> by_definition(std::vector<std::string> parts, const text::Merges& merges) {
  for (;;) {
    std::size_t best = merges.size(), place = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i)
      for (std::size_t rank = 0; rank < best; ++rank)
        if (merges[rank].first == parts[i] && merges[rank].second == parts[i + 1]) best = rank, place = i;
    if (best == merges.size()) return parts;
    parts[place] += parts[place + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

}  // namespace

TEST_CASE("byte pairs: symbols of bytes are distinct and printable ones stand for themselves") {
  const auto symbols = text::byte_symbols();
  CHECK(std::set<std::string>(symbols.begin(), symbols.end()).size() == 256);
  CHECK(symbols['!'] == "!");
  CHECK(symbols['~'] == "~");
  CHECK(symbols[0] == "\xC4\x80");     // U+0100
  CHECK(symbols[' '] == "\xC4\xA0");   // U+0120
  CHECK(symbols[0xAD] == "\xC5\x83");  // U+0143, the last of the 68
  CHECK(symbols[0xFF] == "\xC3\xBF");
}

TEST_CASE("byte pairs: random merges equal the definition") {
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    text::Vocabulary tokens{{"?", 0}};
    const auto add = [&](const std::string& token) { tokens.emplace(token, static_cast<std::int32_t>(tokens.size())); };
    std::vector<std::string> known{"a", "b", "c", "a</w>", "b</w>", "c</w>"};
    for (const auto& token : known) add(token);
    text::Merges merges;
    for (int i = 0; i < 12; ++i) {
      const std::string left = known[random() % known.size()], right = known[random() % known.size()];
      const std::pair<std::string, std::string> merge{left, right};
      if (left.find('<') != std::string::npos || std::find(merges.begin(), merges.end(), merge) != merges.end())
        continue;
      merges.push_back(merge);
      add(left + right);
      known.push_back(left + right);
    }
    const text::BytePairs pairs(tokens, merges, 0);
    for (int i = 0; i < 50; ++i) {
      std::string word;
      std::vector<std::string> parts;
      const std::size_t length = 1 + random() % 14;
      for (std::size_t k = 0; k < length; ++k) {
        word += "abc"[random() % 3];
        parts.push_back(word.substr(k) + (k + 1 == length ? "</w>" : ""));
      }
      std::vector<std::int32_t> want, got;
      for (const auto& part : by_definition(parts, merges)) want.push_back(tokens.at(part));
      pairs.encode(word, got);
      CHECK(got == want);
    }
  }
}

TEST_CASE("byte pairs: unknown bytes, empty words, words without end, wrong merges") {
  const auto tiny = clip_files::tiny();
  const text::BytePairs pairs(tiny.tokens, tiny.merges, 7);
  std::vector<std::int32_t> ids;
  pairs.encode("", ids);
  CHECK(ids.empty());
  pairs.encode("czat", ids);
  CHECK(ids == std::vector<std::int32_t>{0, 7, 4});
  // In n log n: 10^6 bytes of one word.
  const text::BytePairs aaa({{"?", 0}, {"a", 1}, {"a</w>", 2}, {"aa", 3}, {"aaaa", 4}}, {{"a", "a"}, {"aa", "aa"}}, 0);
  ids.clear();
  aaa.encode(std::string(1000001, 'a'), ids);
  CHECK(ids.size() == 250001);
  CHECK(ids.front() == 4);
  CHECK(ids.back() == 2);
  const auto message = test::message_of<FormatError>([&] {
    text::BytePairs(tiny.tokens, {{"a", "t</w>"}, {"c", "at"}}, 7);
  });
  CHECK(test::mentions(message, "merge 2 ('c' 'at'): the vocabulary has no token 'at'"));
}
