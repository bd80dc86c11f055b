// SPDX-License-Identifier: Apache-2.0
#include <hypersd/text/word_pieces.hpp>

#include "clip_files.hpp"

using namespace hypersd;

namespace {

using Ids = std::vector<std::int32_t>;

const nlohmann::json& golden() {
  static const nlohmann::json values = clip_files::json("word_pieces.json");
  return values;
}

std::string lines() {
  std::string out;
  for (const auto& token : golden()["vocabulary"]) out += token.get<std::string>() + "\n";
  return out;
}

void check_ids(const text::WordPieceTokenizer& tokenizer, const char* kind) {
  const auto& texts = golden()["texts"];
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    CHECK_MESSAGE(tokenizer.sequence(text, golden()["max_length"]) == golden()["ids"][kind][i].get<Ids>(), kind, ": ",
                  text);
  }
}

/// The message that opening `path` fails with.
template <class E>
std::string refused(const std::string& path) {
  try {
    text::WordPieceTokenizer::open(path);
  } catch (const E& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("word pieces: ids of transformers, from vocab.txt and tokenizer.json") {
  test::TempFolder folder;
  io::atomic_write(folder / "vocab.txt", lines());
  check_ids(text::WordPieceTokenizer::open(folder / "vocab.txt"), "uncased");
  check_ids(text::WordPieceTokenizer::open(folder.path()), "uncased");
  io::atomic_write(folder / "tokenizer_config.json", R"({"do_lower_case": false, "strip_accents": null})");
  check_ids(text::WordPieceTokenizer::open(folder.path()), "cased");
  test::TempFolder json;
  const auto text = golden()["tokenizer_json"].get<std::string>();
  io::atomic_write(json / "tokenizer.json", text);
  check_ids(text::WordPieceTokenizer::open(json.path()), "uncased");
  auto cased = nlohmann::json::parse(text);
  cased["normalizer"]["lowercase"] = false;
  io::atomic_write(json / "tokenizer.json", cased.dump());
  check_ids(text::WordPieceTokenizer::open(json / "tokenizer.json"), "cased");
  // Windows' ends of lines are no part of the tokens.
  std::string windows;
  for (const char c : lines()) windows += c == '\n' ? "\r\n" : std::string(1, c);
  io::atomic_write(folder / "other.txt", windows);
  check_ids(text::WordPieceTokenizer::open(folder / "other.txt"), "uncased");
}

TEST_CASE("word pieces: every character of Unicode 8 has the class and the changes of tokenizers") {
  const auto in = [](const char* kind) {
    std::vector<bool> out(0x110000);
    for (const auto& run : golden()["ranges"][kind])
      for (auto c = run[0].get<std::size_t>(); c <= run[1].get<std::size_t>(); ++c) out[c] = true;
    return out;
  };
  const auto newer = in("newer"), dropped = in("dropped"), space = in("space"), ideograph = in("ideograph"),
             mark = in("mark");
  int wrong = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if ((c >= 0xD800 && c < 0xE000) || newer[c]) continue;
    const bool ours = text::detail::is_ideograph(c);
    const bool gone = text::detail::is_dropped(c), blank = !gone && text::is_white_space(c);
    const bool own = !gone && !blank && !ours && text::detail::is_bert_punctuation(c);
    const bool same = gone == dropped[c] && blank == space[c] && own == mark[c] && ours == ideograph[c];
    if (!same && ++wrong <= 5) MESSAGE("U+", std::hex, static_cast<unsigned>(c));
  }
  CHECK(wrong == 0);
  for (const auto& [code, after] : golden()["changed"].items()) {
    const auto c = static_cast<char32_t>(std::stoul(code, nullptr, 16));
    std::string got;
    for (const char32_t point : text::bert_normalized(std::u32string(1, c), true))
      if (!text::detail::is_ideograph(c) || point != U' ') text::append_utf8(got, point);
    CHECK_MESSAGE(got == after.get<std::string>(), code);
  }
}

TEST_CASE("word pieces: limits, and malformed UTF-8") {
  text::WordPieceVocabulary vocabulary;
  vocabulary.tokens = {{"[CLS]", 0}, {"[SEP]", 1}, {"[UNK]", 2}, {"a", 3}, {"##b", 4}};
  const text::WordPieceTokenizer tokenizer(vocabulary);
  CHECK(tokenizer.encode("ab a abb b") == Ids{3, 4, 3, 3, 4, 4, 2});
  CHECK(tokenizer.encode("ab a", 1) == Ids{3});
  CHECK(tokenizer.encode("a", 0).empty());
  CHECK(tokenizer.sequence("a a a a", 4) == Ids{0, 3, 3, 1});
  CHECK(tokenizer.sequence("a", 2) == Ids{0, 1});
  CHECK_THROWS_WITH_AS(tokenizer.sequence("a", 1), doctest::Contains("max_length = 1"), OptionError);
  for (const char* bad : {"a\xFF", "\xC0\xAF", "\xED\xA0\x80", "\xE2\x82", "\xF5\x80\x80\x80"})
    CHECK_THROWS_WITH_AS(tokenizer.encode(bad), doctest::Contains("UTF-8"), FormatError);
  vocabulary.tokens.erase("[UNK]");
  CHECK_THROWS_WITH_AS(text::WordPieceTokenizer{vocabulary}, doctest::Contains("'[UNK]'"), FormatError);
}

TEST_CASE("word pieces: files that are refused are named with the rule") {
  test::TempFolder folder;
  CHECK(refused<IoError>(folder.path()).find("neither tokenizer.json nor vocab.txt") != std::string::npos);
  const std::string vocab = folder / "vocab.txt", json = folder / "tokenizer.json";
  io::atomic_write(vocab, "[CLS]\n[SEP]\n[UNK]\na\n[SEP]\n");
  CHECK(refused<FormatError>(vocab).find("vocab.txt': line 5: token '[SEP]' occurs twice") != std::string::npos);
  io::atomic_write(vocab, "[CLS]\n[SEP]\n[UNK]\n\xFF\n");
  CHECK(refused<FormatError>(vocab).find("not valid UTF-8") != std::string::npos);
  io::atomic_write(vocab, "[CLS]\n[SEP]\n[UNK]\na\n");
  io::atomic_write(folder / "tokenizer_config.json", R"({"do_lower_case": true, "strip_accents": false})");
  CHECK(refused<FormatError>(folder.path()).find("strip_accents") != std::string::npos);
  io::atomic_write(folder / "tokenizer_config.json", R"({"do_lower_case": 1})");
  CHECK(refused<FormatError>(folder.path()).find("'do_lower_case' is neither") != std::string::npos);

  const auto good = nlohmann::json::parse(golden()["tokenizer_json"].get<std::string>());
  const auto with = [&](const char* pointer, const nlohmann::json& value) {
    auto changed = good;
    changed[nlohmann::json::json_pointer(pointer)] = value;
    io::atomic_write(json, changed.dump());
    return refused<FormatError>(json);
  };
  CHECK(with("/model/type", "BPE").find("model 'BPE' is not BERT's") != std::string::npos);
  CHECK(with("/normalizer/type", "NFC").find("normalizer 'NFC'") != std::string::npos);
  CHECK(with("/pre_tokenizer", nullptr).find("no 'pre_tokenizer'") != std::string::npos);
  CHECK(with("/normalizer/handle_chinese_chars", false).find("handle_chinese_chars") != std::string::npos);
  CHECK(with("/normalizer/clean_text", false).find("clean_text") != std::string::npos);
  CHECK(with("/model/vocab/a", -1).find("token 'a' is not a number below 2^31") != std::string::npos);
  CHECK(with("/model/max_input_chars_per_word", 0).find("max_input_chars_per_word") != std::string::npos);
  CHECK(with("/added_tokens/0/lstrip", true).find("'lstrip' is not supported") != std::string::npos);
  CHECK(with("/model/unk_token", "[none]").find("no token '[none]'") != std::string::npos);
}
