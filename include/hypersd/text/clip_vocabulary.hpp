// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <filesystem>
#include <functional>
#include <hypersd/io/file.hpp>
#include <hypersd/io/gzip.hpp>
#include <hypersd/io/json_events.hpp>
#include <hypersd/text/added_tokens.hpp>
#include <hypersd/text/byte_pairs.hpp>
#include <limits>
#include <optional>
#include <unordered_set>

/// \file
/// Files of CLIP's tokenizer: `vocab.json` + `merges.txt`, `tokenizer.json`, and the merges of openai/CLIP and
/// OpenCLIP.

namespace hypersd::text {

/// What a CLIP tokenizer consists of.
struct ClipVocabulary {
  Vocabulary tokens;
  Merges merges;
  std::vector<AddedToken> added;
  std::string start = "<|startoftext|>", end = "<|endoftext|>", unknown = "<|endoftext|>", pad = "<|endoftext|>";
  std::int64_t max_length = 77;  ///< ids of a prompt with start, end and padding
};

namespace detail {

/// Calls `scalar(path, text, value)` for each string, boolean and number of a JSON text: `path` holds the keys and
/// array indices that lead to it, `text` the string or its spelling, `value` the integer of an unsigned number. Throws
/// FormatError naming `file`.
inline void walk_json(const std::string& file, std::string_view json,
                      const std::function<void(const std::vector<std::string>& path, const std::string& text,
                                               std::optional<std::uint64_t> value)>& scalar) {
  require<FormatError>(io::valid_utf8(json), "file ", io::in_quotes(file), ": it is not valid UTF-8");
  struct Walk {
    decltype(scalar) call;
    std::vector<std::string> path{};
    std::vector<std::int64_t> index{};  // of open containers: -1 for objects
    bool deep = false, bare = false;

    bool value(const std::string& text, std::optional<std::uint64_t> number) {
      bare = index.empty();
      if (bare) return false;
      place();
      call(path, text, number);
      return true;
    }
    // In an array the next index becomes the last part of the path.
    void place() {
      if (!index.empty() && index.back() >= 0) path.back() = std::to_string(index.back()++);
    }
    bool open(std::int64_t first) {
      place();
      index.push_back(first);
      path.emplace_back();
      deep = index.size() > 64;
      return !deep;
    }
    bool close() {
      index.pop_back();
      path.pop_back();
      return true;
    }
    bool null() {
      place();
      return true;
    }
    bool boolean(bool b) { return value(b ? "true" : "false", {}); }
    bool number(io::JsonNumber kind, std::uint64_t n, std::string_view text) {
      return value(std::string(text),
                   kind == io::JsonNumber::Unsigned ? std::optional<std::uint64_t>(n) : std::nullopt);
    }
    bool string(std::string& text) { return value(text, {}); }
    bool key(std::string& name) {
      path.back() = name;
      return true;
    }
    bool start_object() { return open(-1); }
    bool end_object() { return close(); }
    bool start_array() { return open(0); }
    bool end_array() { return close(); }
  } walk{scalar};
  io::JsonEvents events(json, walk);
  const bool valid = events.parse();
  require<FormatError>(valid, "file ", io::in_quotes(file), ": ",
                       walk.deep   ? "it is nested more than 64 deep"
                       : walk.bare ? "it is no JSON object"
                                   : events.error(),
                       " at byte ", events.position());
}

/// A token's id as a 32-bit number.
inline std::int32_t token_id(const std::string& file, const std::string& token, std::optional<std::uint64_t> value) {
  require<FormatError>(value && *value <= std::numeric_limits<std::int32_t>::max(), "file ", io::in_quotes(file),
                       ": the id of token ", io::in_quotes(token), " is not a number below 2^31");
  return static_cast<std::int32_t>(*value);
}

/// Adds a token to a vocabulary. Throws FormatError where it is there with another id.
inline void add_token(const std::string& file, Vocabulary& tokens, const std::string& token, std::int32_t id) {
  const auto [at, fresh] = tokens.emplace(token, id);
  require<FormatError>(fresh || at->second == id, "file ", io::in_quotes(file), ": token ", io::in_quotes(token),
                       " has two ids, ", at->second, " and ", id);
}

/// The parts of a merge written as `left right`.
inline std::pair<std::string, std::string> merge_of(const std::string& file, std::string_view line,
                                                    std::size_t number) {
  const std::size_t blank = line.find(' ');
  require<FormatError>(blank != std::string_view::npos && blank > 0 && blank + 1 < line.size() &&
                           line.find(' ', blank + 1) == std::string_view::npos,
                       "file ", io::in_quotes(file), ": line ", number, " is ", io::in_quotes(line),
                       ", not two tokens with a blank between them");
  return {std::string(line.substr(0, blank)), std::string(line.substr(blank + 1))};
}

/// Merges of lines, of which the first is a heading. Stops after `at_most`.
inline Merges merges_of(const std::string& file, std::string_view text,
                        std::size_t at_most = std::numeric_limits<std::size_t>::max()) {
  Merges out;
  for (std::size_t number = 1; !text.empty() && out.size() < at_most; ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.find("#version") != std::string_view::npos)) continue;
    out.push_back(merge_of(file, line, number));
  }
  return out;
}

/// What a setting of `tokenizer_config.json` or `special_tokens_map.json` says about a token.
struct NamedToken {
  std::string content;
  bool normalized = false, plain = true;
};

/// Reads one member of a token's description. Throws FormatError for what is not supported.
inline void read_token_field(const std::string& file, const std::string& field, const std::string& text,
                             NamedToken& token) {
  if (field == "content") token.content = text;
  if (field == "normalized") token.normalized = text == "true";
  if ((field == "lstrip" || field == "rstrip" || field == "single_word") && text == "true") token.plain = false;
  require<FormatError>(token.plain, "file ", io::in_quotes(file), ": token ", io::in_quotes(token.content), ": `",
                       field, "` is not supported");
}

}  // namespace detail

/// The vocabulary of openai/CLIP's and OpenCLIP's `bpe_simple_vocab_16e6.txt.gz` (gzip or plain): 49408 tokens, made of
/// its first 48894 merges. Throws IoError and FormatError naming the file.
inline ClipVocabulary read_clip_merges(const std::string& path) {
  constexpr std::size_t merge_count = 49152 - 256 - 2;
  io::GzipFile file(path);
  std::string text;
  for (std::string piece(std::size_t{1} << 16U, '\0');;) {
    const std::size_t count = file.read(piece.data(), piece.size());
    text.append(piece, 0, count);
    require<FormatError>(text.size() <= (std::size_t{1} << 26U), "file ", io::in_quotes(path),
                         ": more than 64 MiB are not merges of CLIP");
    if (count < piece.size()) break;
  }
  ClipVocabulary out;
  out.merges = detail::merges_of(path, text, merge_count);
  require<FormatError>(out.merges.size() == merge_count, "file ", io::in_quotes(path), ": ", out.merges.size(),
                       " merges, CLIP has ", merge_count);
  const auto add = [&](const std::string& token) {
    detail::add_token(path, out.tokens, token, static_cast<std::int32_t>(out.tokens.size()));
  };
  const auto symbols = byte_symbols();
  // Printable bytes come first, then the others.
  for (const std::string_view suffix : {std::string_view{}, BytePairs::suffix})
    for (const bool printable : {true, false})
      for (unsigned byte = 0; byte < 256; ++byte)
        if (printable == ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)))
          add(symbols[byte] + std::string(suffix));
  for (const auto& [left, right] : out.merges) add(left + right);
  for (const std::string& token : {out.start, out.end}) {
    out.added.push_back({token, static_cast<std::int32_t>(out.tokens.size()), false});
    add(token);
  }
  return out;
}

/// The vocabulary of a transformers `tokenizer.json`. Throws IoError and FormatError naming the file, the latter for
/// other kinds of tokenizer too.
inline ClipVocabulary read_tokenizer_json(const std::string& path) {
  ClipVocabulary out;
  std::string kind, suffix;
  std::vector<std::pair<detail::NamedToken, std::optional<std::int32_t>>> added;
  std::string left;
  detail::walk_json(path, io::read_file(path), [&](const auto& at, const std::string& text, auto value) {
    if (at.size() == 3 && at[0] == "added_tokens") {
      if (at[1] != std::to_string(static_cast<std::int64_t>(added.size()) - 1)) added.emplace_back();
      if (at[2] == "id") added.back().second = detail::token_id(path, added.back().first.content, value);
      detail::read_token_field(path, at[2], text, added.back().first);
    }
    if (at.size() < 2 || at[0] != "model") return;
    if (at[1] == "type") kind = text;
    if (at[1] == "unk_token") out.unknown = text;
    if (at[1] == "end_of_word_suffix") suffix = text;
    const bool changes =
        (at[1] == "byte_fallback" || at[1] == "ignore_merges" || at[1] == "fuse_unk") && text == "true";
    require<FormatError>(!changes && at[1] != "dropout", "file ", io::in_quotes(path), ": `", at[1],
                         "` is not supported");
    if (at[1] == "vocab" && at.size() == 3) {
      detail::add_token(path, out.tokens, at[2], detail::token_id(path, at[2], value));
    } else if (at[1] == "merges" && at.size() == 3) {
      out.merges.push_back(detail::merge_of(path, text, out.merges.size() + 1));
    } else if (at[1] == "merges" && at.size() == 4) {
      require<FormatError>(at[3] == "0" || at[3] == "1", "file ", io::in_quotes(path), ": merge ", at[2],
                           " does not have two parts");
      if (at[3] == "0")
        left = text;
      else
        out.merges.emplace_back(left, text);
    }
  });
  require<FormatError>(kind == "BPE" && suffix == BytePairs::suffix, "file ", io::in_quotes(path), ": model ",
                       io::in_quotes(kind), " with end of word ", io::in_quotes(suffix),
                       " is not CLIP's, which is 'BPE' with '</w>'");
  for (const auto& [token, id] : added) {
    require<FormatError>(id.has_value() && !token.content.empty(), "file ", io::in_quotes(path), ": added token ",
                         io::in_quotes(token.content), " lacks its id or its content");
    detail::add_token(path, out.tokens, token.content, *id);
    out.added.push_back({token.content, *id, token.normalized});
  }
  return out;
}

/// The vocabulary in a folder, with what `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say
/// about special tokens; or that of one file: a `tokenizer.json`, or merges as `read_clip_merges` takes them. The
/// settings beside a `tokenizer.json` hold for it. Throws IoError and FormatError naming the file.
inline ClipVocabulary read_clip_vocabulary(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  if (!folder && fs::path(path).extension() != ".json") return read_clip_merges(path);
  const fs::path base = folder ? fs::path(path) : fs::path(path).parent_path();
  const auto in_folder = [&](const char* name) { return (base / name).string(); };
  const auto there = [&](const char* name) { return fs::exists(base / name, ignored); };
  ClipVocabulary out;
  const bool pair = folder && there("vocab.json") && there("merges.txt");
  if (pair) {
    const std::string file = in_folder("vocab.json"), merges = in_folder("merges.txt");
    detail::walk_json(file, io::read_file(file), [&](const auto& at, const std::string&, auto value) {
      require<FormatError>(at.size() == 1, "file ", io::in_quotes(file), ": it is not one object of tokens and ids");
      detail::add_token(file, out.tokens, at[0], detail::token_id(file, at[0], value));
    });
    out.merges = detail::merges_of(merges, io::read_file(merges));
  } else {
    require<IoError>(!folder || there("tokenizer.json"), "folder ", io::in_quotes(path),
                     ": neither vocab.json with merges.txt nor tokenizer.json");
    out = read_tokenizer_json(folder ? in_folder("tokenizer.json") : path);
  }

  // Names of the four tokens, in the order in which later ones decide about the same content.
  const std::array<std::pair<const char*, std::string*>, 4> names{
      {{"bos_token", &out.start}, {"eos_token", &out.end}, {"unk_token", &out.unknown}, {"pad_token", &out.pad}}};
  std::unordered_map<std::string, detail::NamedToken> named;
  std::unordered_map<std::string, std::pair<detail::NamedToken, std::int32_t>> decoder;
  const auto read_names = [&](const char* name, bool settings) {
    if (!there(name)) return;
    const std::string file = in_folder(name);
    std::unordered_set<std::string> seen;
    detail::walk_json(file, io::read_file(file), [&](const auto& at, const std::string& text, auto value) {
      if (settings && at.size() == 1 && at[0] == "model_max_length" && value && *value >= 2 && *value <= 65536)
        out.max_length = static_cast<std::int64_t>(*value);
      if (settings && at.size() == 3 && at[0] == "added_tokens_decoder") {
        auto& [token, id] = decoder[at[1]];
        const auto result = std::from_chars(at[1].data(), at[1].data() + at[1].size(), id);
        require<FormatError>(result.ec == std::errc() && result.ptr == at[1].data() + at[1].size() && id >= 0, "file ",
                             io::in_quotes(file), ": added token with id ", io::in_quotes(at[1]));
        detail::read_token_field(file, at[2], text, token);
      }
      for (const auto& [key, into] : names) {
        if (at[0] != key || at.size() > 2) continue;
        if (seen.insert(at[0]).second) named[at[0]] = {};
        detail::read_token_field(file, at.size() == 1 ? "content" : at[1], text, named[at[0]]);
      }
    });
  };
  read_names("tokenizer_config.json", true);
  // Newer settings describe each added token; older ones leave that to the special tokens.
  if (decoder.empty()) read_names("special_tokens_map.json", false);
  for (const auto& [key, into] : names)
    if (const auto found = named.find(key); found != named.end() && !found->second.content.empty())
      *into = found->second.content;

  const auto add = [&](const std::string& content, std::int32_t id, bool normalized) {
    for (AddedToken& token : out.added)
      if (token.content == content) {
        token.normalized = normalized;
        return;
      }
    out.added.push_back({content, id, normalized});
  };
  for (const auto& [text, entry] : decoder) {
    const auto& [token, id] = entry;
    require<FormatError>(!token.content.empty(), "file ", io::in_quotes(in_folder("tokenizer_config.json")),
                         ": added token ", id, " has no content");
    detail::add_token(in_folder("tokenizer_config.json"), out.tokens, token.content, id);
    add(token.content, id, token.normalized);
  }
  if (pair && there("added_tokens.json")) {
    const std::string file = in_folder("added_tokens.json");
    detail::walk_json(file, io::read_file(file), [&](const auto& at, const std::string&, auto value) {
      const std::int32_t id = detail::token_id(file, at.back(), value);
      detail::add_token(file, out.tokens, at.back(), id);
      add(at.back(), id, true);
    });
  }
  for (const auto& [key, into] : names) {
    const std::string& content = *into;
    const auto found = out.tokens.find(content);
    require<FormatError>(found != out.tokens.end(), io::in_quotes(path), ": the vocabulary has no token ",
                         io::in_quotes(content), " (", key, ")");
    const auto token = named.find(key);
    const bool listed =
        std::any_of(out.added.begin(), out.added.end(), [&](const AddedToken& a) { return a.content == content; });
    if (!listed || (decoder.empty() && pair))
      add(content, found->second, token != named.end() && token->second.normalized);
  }
  return out;
}

}  // namespace hypersd::text
