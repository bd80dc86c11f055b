// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/text/clip_tokenizer.hpp>
#include <hypersd/text/word_pieces.hpp>

#include <map>

using namespace hypersd;

namespace {

std::int32_t number_of(const text::Vocabulary& tokens) { return static_cast<std::int32_t>(tokens.size()); }

/// All bytes and a few merges, some of which compete.
text::ClipVocabulary small() {
  text::ClipVocabulary out;
  const auto add = [&](const std::string& token) { out.tokens.emplace(token, number_of(out.tokens)); };
  for (const std::string& symbol : text::byte_symbols()) {
    add(symbol);
    add(symbol + "</w>");
  }
  for (const auto& [left, right] : {std::pair{"a", "a"},
                                    {"aa", "a"},
                                    {"a", "b</w>"},
                                    {"b", "a"},
                                    {"aa", "aa"},
                                    {"i", "n"},
                                    {"in", "g</w>"},
                                    {"ba", "ab</w>"}}) {
    out.merges.emplace_back(left, right);
    add(std::string(left) + right);
  }
  for (const std::string& token : {out.start, out.end}) {
    out.added.push_back({token, number_of(out.tokens), token == out.start});
    add(token);
  }
  return out;
}

std::string bytes_of(const text::ClipTokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  static const auto bytes = [] {
    std::map<std::string, char> out;
    const auto symbols = text::byte_symbols();
    for (unsigned byte = 0; byte < 256; ++byte) out[symbols[byte]] = static_cast<char>(byte);
    return out;
  }();
  std::string out;
  for (const std::int32_t id : ids) {
    static std::map<std::int32_t, std::string> known;  // of the one tokenizer here
    std::string& spelling = known[id];
    if (spelling.empty()) spelling = tokenizer.token(id);
    std::string token = spelling;
    if (token.size() > 4 && token.substr(token.size() - 4) == "</w>") token.resize(token.size() - 4);
    for (std::size_t at = 0; at < token.size();) {
      const std::size_t length = static_cast<unsigned char>(token[at]) < 0x80 ? 1 : 2;
      const auto found = bytes.find(token.substr(at, length));
      fuzz::expect(found != bytes.end(), "a token of byte symbols");
      out += found->second;
      at += length;
    }
  }
  return out;
}

void prompt(const text::ClipTokenizer& tokenizer, std::string_view input) {
  std::vector<std::int32_t> ids;
  const bool valid = fuzz::accepted([&] { ids = tokenizer.encode(input); });
  fuzz::expect(valid == io::valid_utf8(input), "valid UTF-8, and only that, is encoded");
  if (!valid) return;
  const auto first = tokenizer.encode(input, 5);
  fuzz::expect(
      first.size() == std::min<std::size_t>(5, ids.size()) && std::equal(first.begin(), first.end(), ids.begin()),
      "a limit gives the first ids");
  fuzz::expect(tokenizer.padded(input).size() == 77, "77 ids");
  const std::u32string points = text::decode_utf8(input), composed = text::nfc(points);
  if (points.find(0x11A7) == std::u32string::npos) {
    utf8proc_uint8_t* theirs = nullptr;
    const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(input.data()),
                                   static_cast<utf8proc_ssize_t>(input.size()), &theirs,
                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    const std::string bytes(reinterpret_cast<const char*>(theirs), static_cast<std::size_t>(size));
    std::free(theirs);
    fuzz::expect(text::decode_utf8(bytes) == composed, "the composition of utf8proc_map");
  }
  // Words hold every byte but those of blanks; added tokens are no words.
  std::u32string lower;
  for (const char32_t c : composed)
    if (!text::is_white_space(c)) text::append_lower(lower, c);
  if (lower.find(U"<|") != std::u32string::npos) return;
  std::string want;
  for (const char32_t c : lower) text::append_utf8(want, c);
  fuzz::expect(bytes_of(tokenizer, ids) == want, "the tokens spell the text");
}

/// The whole alphabet and a few longer pieces.
text::WordPieceVocabulary pieces() {
  text::WordPieceVocabulary out;
  const auto add = [&](const std::string& token) { out.tokens.emplace(token, number_of(out.tokens)); };
  for (const std::string& token : {out.start, out.end, out.unknown}) {
    add(token);
    out.added.push_back({token, number_of(out.tokens) - 1});
  }
  for (char c = 33; c < 127; ++c)
    for (const char* before : {"", "##"}) add(before + std::string(1, c));
  for (const char* token : {"aab", "##aa", "##ing", "\xC3\xA6", "##\xC3\xA6"}) add(token);
  return out;
}

void bert_prompt(const text::WordPieceTokenizer& tokenizer, std::string_view input) {
  std::vector<std::int32_t> ids;
  const bool valid = fuzz::accepted([&] { ids = tokenizer.encode(input); });
  fuzz::expect(valid == io::valid_utf8(input), "valid UTF-8, and only that, is encoded");
  if (!valid) return;
  const auto first = tokenizer.sequence(input, 6);
  const auto count = static_cast<std::ptrdiff_t>(std::min<std::size_t>(4, ids.size()));
  fuzz::expect(first.front() == tokenizer.start() && first.back() == tokenizer.end() &&
                   std::equal(first.begin() + 1, first.end() - 1, ids.begin(), ids.begin() + count),
               "a limit gives the first ids between start and end");
}

}  // namespace

/// The first byte decides what the rest is: a prompt for CLIP or BERT, a `tokenizer.json` of either, merges, or a
/// `vocab.txt`.
void fuzz::run(std::string_view input) {
  static const text::ClipTokenizer tokenizer(small());
  static const text::WordPieceTokenizer bert(pieces());
  if (input.empty()) return;
  const char kind = input[0];
  input.remove_prefix(1);
  if (kind == 'p') return prompt(tokenizer, input);
  if (kind == 'w') return bert_prompt(bert, input);
  const fuzz::File file(input);
  fuzz::accepted([&] {
    if (kind == 'b' || kind == 'v') {
      const text::WordPieceTokenizer read(kind == 'b' ? text::read_word_piece_json(file.path())
                                                      : text::read_word_piece_lines(file.path()));
      expect(read.sequence("a cat", 5).size() <= 5, "a text of at most its length");
      return;
    }
    const text::ClipTokenizer read(kind == 'j' ? text::read_tokenizer_json(file.path())
                                               : text::read_clip_merges(file.path()));
    expect(read.padded("a cat").size() == static_cast<std::size_t>(read.max_length()), "a prompt of its length");
  });
}
