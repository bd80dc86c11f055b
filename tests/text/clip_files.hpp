// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <doctest/doctest.h>
#include <hypersd/io/file.hpp>
#include <hypersd/text/clip_vocabulary.hpp>
#include <nlohmann/json.hpp>

#include <string>

#include "temp_folder.hpp"

namespace clip_files {

using namespace hypersd;

inline nlohmann::json json(const std::string& name) {
  return nlohmann::json::parse(io::read_file(std::string(HYPERSD_TEST_DATA) + "/" + name));
}
inline std::string merges_file() { return std::string(HYPERSD_TEST_DATA) + "/clip_merges.txt.gz"; }

/// The vocabulary of CLIP, read once.
inline const text::ClipVocabulary& clip() {
  static const text::ClipVocabulary vocabulary = text::read_clip_merges(merges_file());
  return vocabulary;
}

/// Writes `vocab.json` and `merges.txt`.
inline void write_pair(const test::TempFolder& folder, const text::ClipVocabulary& from) {
  nlohmann::json tokens;
  for (const auto& [token, id] : from.tokens) tokens[token] = id;
  io::atomic_write(folder / "vocab.json", tokens.dump());
  std::string lines = "#version: 0.2\n";
  for (const auto& [left, right] : from.merges) lines += left + " " + right + "\n";
  io::atomic_write(folder / "merges.txt", lines);
}

/// A `tokenizer.json` as transformers writes it; with `joined` merges as one string.
inline nlohmann::json tokenizer_json(const text::ClipVocabulary& from, bool joined = false) {
  nlohmann::json model{{"type", "BPE"},          {"dropout", nullptr},          {"unk_token", from.unknown},
                       {"fuse_unk", false},      {"byte_fallback", false},      {"continuing_subword_prefix", ""},
                       {"ignore_merges", false}, {"end_of_word_suffix", "</w>"}};
  for (const auto& [token, id] : from.tokens) model["vocab"][token] = id;
  for (const auto& [left, right] : from.merges) {
    if (joined)
      model["merges"].push_back(left + " " + right);
    else
      model["merges"].push_back({left, right});
  }
  nlohmann::json added;
  for (const auto& token : from.added)
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", token.normalized},
                     {"special", true}});
  return {{"version", "1.0"}, {"truncation", nullptr}, {"added_tokens", added}, {"model", model}};
}

/// Eight tokens: c a t and merges to `cat`.
inline text::ClipVocabulary tiny() {
  text::ClipVocabulary out;
  out.tokens = {{"c", 0}, {"a", 1}, {"t", 2}, {"t</w>", 3}, {"at</w>", 4}, {"cat</w>", 5}};
  out.merges = {{"a", "t</w>"}, {"c", "at</w>"}};
  out.tokens[out.start] = 6;
  out.tokens[out.end] = 7;
  out.added = {{out.start, 6, false}, {out.end, 7, false}};
  return out;
}

}  // namespace clip_files
