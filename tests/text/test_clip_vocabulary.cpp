// SPDX-License-Identifier: Apache-2.0
#include <hypersd/text/clip_vocabulary.hpp>

#include "clip_files.hpp"

using namespace hypersd;
using clip_files::tiny;

namespace {

std::string refusal(const test::TempFolder& folder, const std::string& name, const std::string& bytes) {
  io::atomic_write(folder / name, bytes);
  return test::message_of<FormatError>([&] { text::read_clip_vocabulary(folder.path()); });
}
bool same(const text::ClipVocabulary& a, const text::ClipVocabulary& b) {
  return a.tokens == b.tokens && a.merges == b.merges;
}

}  // namespace

TEST_CASE("clip vocabulary: the merges of OpenCLIP give CLIP's 49408 tokens") {
  const auto& clip = clip_files::clip();
  CHECK(clip.tokens.size() == 49408);
  CHECK(clip.merges.size() == 48894);
  for (const auto& [token, id] : {std::pair<std::string, int>{"!", 0},
                                  {"!</w>", 256},
                                  {"in", 512},
                                  {"a</w>", 320},
                                  {"photo</w>", 1125},
                                  {"<|startoftext|>", 49406},
                                  {"<|endoftext|>", 49407}})
    CHECK(clip.tokens.at(token) == id);
}

TEST_CASE("clip vocabulary: both layouts of a folder hold the same") {
  test::TempFolder pair, one;
  clip_files::write_pair(pair, tiny());
  CHECK(same(text::read_clip_vocabulary(pair.path()), tiny()));
  for (const bool joined : {false, true}) {
    io::atomic_write(one / "tokenizer.json", clip_files::tokenizer_json(tiny(), joined).dump());
    CHECK(same(text::read_clip_vocabulary(one.path()), tiny()));
    CHECK(same(text::read_clip_vocabulary(one / "tokenizer.json"), tiny()));
  }
  // A merge of `#` is data, also in the second line; lines may end by CR LF.
  io::atomic_write(pair / "vocab.json", R"({"#": 0, "##": 1, "\u0120": 2, "<|startoftext|>": 3, "<|endoftext|>": 4})");
  io::atomic_write(pair / "merges.txt", "#version: 0.2\r\n# #\r\n");
  CHECK(text::read_clip_vocabulary(pair.path()).merges == text::Merges{{"#", "#"}});
  CHECK(text::read_clip_vocabulary(pair.path()).tokens.count("\xC4\xA0") == 1);
}

TEST_CASE("clip vocabulary: settings decide pad, length and added tokens") {
  test::TempFolder folder;
  clip_files::write_pair(folder, tiny());
  CHECK(text::read_clip_vocabulary(folder.path()).pad == "<|endoftext|>");
  CHECK(text::read_clip_vocabulary(folder.path()).max_length == 77);
  // transformers writes 10^30 where there is no limit.
  io::atomic_write(folder / "tokenizer_config.json",
                   R"({"pad_token": "a", "model_max_length": 1000000000000000019884624838656})");
  auto read = text::read_clip_vocabulary(folder.path());
  CHECK(read.pad == "a");
  CHECK(read.max_length == 77);
  CHECK(read.added.size() == 3);
  io::atomic_write(folder / "tokenizer_config.json", R"({"pad_token": "a", "model_max_length": 16})");
  io::atomic_write(folder / "special_tokens_map.json", R"({"pad_token": {"content": "c", "normalized": true}})");
  io::atomic_write(folder / "added_tokens.json", R"({"<style>": 9})");
  read = text::read_clip_vocabulary(folder.path());
  CHECK(read.pad == "c");
  CHECK(read.max_length == 16);
  CHECK(read.tokens.at("<style>") == 9);
  int seen = 0;
  for (const auto& token : read.added) seen += token.normalized && (token.content == "c" || token.content == "<style>");
  CHECK(seen == 2);
  // Where tokens are described one by one, the map is not read.
  io::atomic_write(folder / "tokenizer_config.json", R"({"pad_token": "a", "added_tokens_decoder":
      {"8": {"content": "<s>", "normalized": false, "special": true, "lstrip": false}}})");
  read = text::read_clip_vocabulary(folder.path());
  CHECK(read.pad == "a");
  CHECK(read.tokens.at("<s>") == 8);
}

TEST_CASE("clip vocabulary: refusals name file and rule") {
  test::TempFolder folder;
  CHECK(test::mentions(test::message_of<IoError>([&] { text::read_clip_vocabulary(folder.path()); }),
                       "neither vocab.json with merges.txt nor tokenizer.json"));
  CHECK_THROWS_AS(text::read_clip_vocabulary(folder / "absent.json"), IoError);
  CHECK_THROWS_AS(text::read_clip_vocabulary(folder / "absent.txt.gz"), IoError);
  io::atomic_write(folder / "short.txt", "#version: 0.2\ni n\n");
  CHECK(test::mentions(test::message_of<FormatError>([&] { text::read_clip_vocabulary(folder / "short.txt"); }),
                       "1 merges, CLIP has 48894"));

  const auto json = clip_files::tokenizer_json(tiny());
  const auto changed = [&](const char* key, const nlohmann::json& value) {
    auto copy = json;
    copy["model"][key] = value;
    return refusal(folder, "tokenizer.json", copy.dump());
  };
  CHECK(test::mentions(changed("type", "Unigram"), "model 'Unigram' with end of word '</w>' is not CLIP's"));
  CHECK(test::mentions(changed("end_of_word_suffix", ""), "is not CLIP's"));
  CHECK(test::mentions(changed("byte_fallback", true), "`byte_fallback` is not supported"));
  CHECK(test::mentions(changed("dropout", 0.1), "`dropout` is not supported"));
  CHECK(test::mentions(changed("vocab", {{"a", -1}}), "the id of token 'a' is not a number below 2^31"));
  CHECK(test::mentions(changed("vocab", {{"a", 4294967296}}), "not a number below 2^31"));
  CHECK(test::mentions(changed("merges", {"a b c"}), "'a b c', not two tokens"));
  CHECK(test::mentions(changed("merges", {{"a", "b", "c"}}), "merge 0 does not have two parts"));
  auto copy = json;
  copy["added_tokens"][0]["lstrip"] = true;
  CHECK(test::mentions(refusal(folder, "tokenizer.json", copy.dump()), "`lstrip` is not supported"));
  copy = json;
  copy["added_tokens"][0].erase("id");
  CHECK(test::mentions(refusal(folder, "tokenizer.json", copy.dump()), "lacks its id or its content"));
  copy = json;
  copy["added_tokens"][0]["id"] = 1;
  CHECK(test::mentions(refusal(folder, "tokenizer.json", copy.dump()), "has two ids"));
  copy = json;
  copy["model"]["vocab"].erase("<|endoftext|>");
  copy["added_tokens"].erase(1);
  CHECK(test::mentions(refusal(folder, "tokenizer.json", copy.dump()), "no token '<|endoftext|>'"));
  CHECK(test::mentions(refusal(folder, "tokenizer.json", "{\"a\": "), "tokenizer.json': the text ends"));
  CHECK(test::mentions(refusal(folder, "tokenizer.json", "7"), "it is no JSON object"));
  CHECK(test::mentions(refusal(folder, "tokenizer.json", "{\"a\": \"\xFF\"}"), "not valid UTF-8"));
  CHECK(test::mentions(refusal(folder, "tokenizer.json", "{\"a\":" + std::string(100000, '[')), "64 deep"));

  clip_files::write_pair(folder, tiny());
  CHECK(test::mentions(refusal(folder, "vocab.json", R"({"a": 1, "a": 2})"), "token 'a' has two ids, 1 and 2"));
  CHECK(test::mentions(refusal(folder, "vocab.json", R"({"a": [1]})"), "not one object of tokens and ids"));
  CHECK(test::mentions(refusal(folder, "vocab.json", R"({"a": "1"})"), "not a number"));
  clip_files::write_pair(folder, tiny());
  CHECK(test::mentions(refusal(folder, "merges.txt", "#version: 0.2\nab\n"), "merges.txt': line 2 is 'ab'"));
  clip_files::write_pair(folder, tiny());
  CHECK(test::mentions(refusal(folder, "tokenizer_config.json", R"({"pad_token": "[PAD]"})"),
                       "no token '[PAD]' (pad_token)"));
  CHECK(test::mentions(refusal(folder, "tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "y"}}})"),
                       "added token with id 'x'"));
}
