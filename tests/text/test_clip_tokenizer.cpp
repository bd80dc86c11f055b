// SPDX-License-Identifier: Apache-2.0
#include <hypersd/text/clip_tokenizer.hpp>

#include "clip_files.hpp"

using namespace hypersd;

namespace {

using Ids = std::vector<std::int32_t>;

/// The tokenizer of CLIP's vocabulary with settings of its own.
const text::ClipTokenizer& clip() {
  static const text::ClipTokenizer tokenizer(clip_files::clip());
  return tokenizer;
}

}  // namespace

TEST_CASE("clip tokenizer: ids of transformers for the three kinds of settings") {
  const auto golden = clip_files::json("clip_ids.json");
  test::TempFolder folder;
  clip_files::write_pair(folder, clip_files::clip());
  for (const auto& [kind, expected] : golden["kinds"].items()) {
    io::atomic_write(folder / "tokenizer_config.json", expected["settings"].dump());
    std::filesystem::remove(folder / "special_tokens_map.json");
    if (!expected["special"].is_null())
      io::atomic_write(folder / "special_tokens_map.json", expected["special"].dump());
    const auto tokenizer = text::ClipTokenizer::open(folder.path());
    REQUIRE(expected["ids"].size() == golden["prompts"].size());
    for (std::size_t i = 0; i < golden["prompts"].size(); ++i) {
      const auto prompt = golden["prompts"][i].get<std::string>();
      CHECK_MESSAGE(tokenizer.padded(prompt) == expected["ids"][i].get<Ids>(), kind, ": ", prompt);
    }
  }
  // The new layout, and the merges alone, have the ids of a folder without special settings.
  test::TempFolder one;
  io::atomic_write(one / "tokenizer.json", clip_files::tokenizer_json(clip_files::clip()).dump());
  const auto tokenizer = text::ClipTokenizer::open(one.path());
  for (std::size_t i = 0; i < golden["prompts"].size(); ++i) {
    const auto prompt = golden["prompts"][i].get<std::string>();
    const auto want = golden["kinds"]["plain"]["ids"][i].get<Ids>();
    CHECK_MESSAGE(tokenizer.padded(prompt) == want, prompt);
    CHECK_MESSAGE(clip().padded(prompt) == want, prompt);
  }
}

TEST_CASE("clip tokenizer: batches, limits, names of ids") {
  CHECK(clip().encode("a photo of a cat") == Ids{320, 1125, 539, 320, 2368});
  CHECK(clip().encode("a photo of a cat", 2) == Ids{320, 1125});
  CHECK(clip().encode("photographically", 1).size() == 1);
  CHECK(clip().encode("a", 0).empty());
  CHECK(clip().encode("a").size() == 1);
  CHECK(clip().encode(std::string(100000, '!')).size() > 77);
  const std::vector<std::string> prompts{"a cat", ""};
  const auto ids = clip()(prompts);
  CHECK(ids.shape() == Shape{2, 77});
  CHECK(ids[0] == clip().start());
  CHECK(ids[2] == 2368);
  CHECK(ids[3] == clip().end());
  CHECK(ids[77] == clip().start());
  CHECK(ids[78] == clip().end());
  CHECK(ids[153] == clip().pad());
  CHECK(clip().token(2368) == "cat</w>");
  CHECK(clip().token(-5).empty());
  CHECK_THROWS_AS(clip()(std::span<const std::string>{}), ShapeError);
}

TEST_CASE("clip tokenizer: the longest added token wins, normalized ones are found in lower case") {
  auto vocabulary = clip_files::tiny();
  vocabulary.tokens["<st"] = 8;
  vocabulary.tokens["<style>"] = 9;
  vocabulary.tokens["<Low>"] = 10;
  vocabulary.added.push_back({"<st", 8, false});
  vocabulary.added.push_back({"<style>", 9, false});
  vocabulary.added.push_back({"<Low>", 10, true});
  const text::ClipTokenizer tokenizer(vocabulary);
  CHECK(tokenizer.encode("cat<style>cat") == Ids{5, 9, 5});
  CHECK(tokenizer.encode("<stcat") == Ids{8, 5});
  CHECK(tokenizer.encode("cat<LOW><low>") == Ids{5, 10, 10});
  CHECK(tokenizer.encode("<STyle>").size() > 1);
}

TEST_CASE("clip tokenizer: malformed UTF-8 and incomplete vocabularies are refused") {
  CHECK(test::mentions(test::message_of<FormatError>([] { (void)clip().padded("a \xC3( cat"); }),
                       "text 'a \\xc3( cat': byte 2 is not valid UTF-8"));
  auto vocabulary = clip_files::tiny();
  vocabulary.pad = "[PAD]";
  CHECK(test::mentions(test::message_of<FormatError>([&] { text::ClipTokenizer{vocabulary}; }), "no token '[PAD]'"));
  vocabulary = clip_files::tiny();
  vocabulary.max_length = 1;
  CHECK_THROWS_AS(text::ClipTokenizer{vocabulary}, OptionError);
}
