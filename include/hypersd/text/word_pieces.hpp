// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <filesystem>
#include <hypersd/io/file.hpp>
#include <hypersd/io/json_fields.hpp>
#include <hypersd/text/added_tokens.hpp>
#include <hypersd/text/byte_pairs.hpp>
#include <hypersd/text/unicode.hpp>
#include <limits>
#include <string>
#include <vector>

/// \file
/// BERT's WordPiece tokenizer (Devlin et al., 2018, arXiv 1810.04805) and its files.

namespace hypersd::text {

/// What a WordPiece tokenizer consists of.
struct WordPieceVocabulary {
  Vocabulary tokens;
  std::vector<AddedToken> added;  ///< found in the text as written
  std::string start = "[CLS]", end = "[SEP]", unknown = "[UNK]";
  std::string prefix = "##";       ///< begins every piece but the first of a word
  std::size_t longest_word = 100;  ///< code points; longer words are unknown
  bool uncased = true;             ///< letters become lower case and lose their accents
};

namespace detail {

/// Whether BERT puts blanks around `c`: the blocks of CJK ideographs, without Japanese syllables and Hangul.
inline bool is_ideograph(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/// Whether `c` is a word of its own: the general categories P*, and all of ASCII that is no letter, number or blank.
inline bool is_bert_punctuation(char32_t c) {
  if (c < 0x80) return c > 0x20 && c < 0x7F && char_class(c) == CharClass::other;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/// Whether BERT drops `c`: NUL, U+FFFD and the general categories Cc, Cf and Co, but not tabs and ends of lines.
inline bool is_dropped(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  if (c == 0xFFFD) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
}

}  // namespace detail

/// `text` without control and format characters, with white space as blanks and blanks around CJK ideographs; if
/// `uncased`, decomposed (NFD), without nonspacing marks and in lower case.
inline std::u32string bert_normalized(std::u32string_view text, bool uncased) {
  std::u32string clean;
  clean.reserve(text.size());
  for (const char32_t c : text) {
    if (detail::is_dropped(c)) continue;
    const bool ideograph = detail::is_ideograph(c);
    if (ideograph) clean += U' ';
    clean += is_white_space(c) ? U' ' : c;
    if (ideograph) clean += U' ';
  }
  if (!uncased) return clean;
  std::u32string out;
  out.reserve(clean.size());
  for (const utf8proc_int32_t c : detail::decompose(clean))
    if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN) append_lower(out, static_cast<char32_t>(c));
  return out;
}

/// BERT's tokenizer, with the ids of transformers' `BertTokenizer` for the characters of Unicode 8:
///
/// 1. Added tokens such as `[SEP]` are found as written.
/// 2. The rest is normalized (`bert_normalized`).
/// 3. White space separates words, punctuation marks are words.
/// 4. A word is cut into the longest pieces of the vocabulary from its beginning; one that cannot be cut is unknown.
///
/// Malformed UTF-8 is refused.
class WordPieceTokenizer {
 public:
  WordPieceTokenizer() = default;
  /// Throws FormatError where a special token is not in the vocabulary, and for an added token that is empty.
  explicit WordPieceTokenizer(WordPieceVocabulary vocabulary)
      : vocabulary_(std::move(vocabulary)),
        start_(id_of(vocabulary_.start)),
        end_(id_of(vocabulary_.end)),
        unknown_(id_of(vocabulary_.unknown)) {
    for (const AddedToken& token : vocabulary_.added) {
      require<FormatError>(!token.content.empty(), "WordPieceTokenizer: an added token is empty");
      written_.push_back({decode_utf8(token.content), token.id});
    }
  }
  /// The tokenizer of a folder or file, as `read_word_pieces` takes it.
  static WordPieceTokenizer open(const std::string& path);

  /// Ids of [CLS], [SEP] and [UNK].
  [[nodiscard]] std::int32_t start() const { return start_; }
  [[nodiscard]] std::int32_t end() const { return end_; }
  [[nodiscard]] std::int32_t unknown() const { return unknown_; }

  /// The first `at_most` ids of `text`, without [CLS] and [SEP]. Throws FormatError for malformed UTF-8.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text,
                                                 std::size_t at_most = std::numeric_limits<std::size_t>::max()) const {
    std::vector<std::int32_t> out;
    detail::split_at(decode_utf8(text), written_, at_most, out, [&](std::u32string_view part) {
      encode_part(bert_normalized(part, vocabulary_.uncased), at_most, out);
    });
    if (out.size() > at_most) out.resize(at_most);
    return out;
  }
  /// [CLS], the first max_length - 2 ids of `text`, [SEP]; no padding. Throws FormatError for malformed UTF-8,
  /// OptionError for a length below 2.
  [[nodiscard]] std::vector<std::int32_t> sequence(std::string_view text, std::int64_t max_length) const {
    require<OptionError>(max_length >= 2, "WordPieceTokenizer: max_length = ", max_length, ", at least 2 needed");
    std::vector<std::int32_t> out = encode(text, static_cast<std::size_t>(max_length - 2));
    out.insert(out.begin(), start_);
    out.push_back(end_);
    return out;
  }

 private:
  [[nodiscard]] std::int32_t id_of(const std::string& token) const {
    const auto found = vocabulary_.tokens.find(token);
    require<FormatError>(found != vocabulary_.tokens.end(), "WordPieceTokenizer: the vocabulary has no token ",
                         io::in_quotes(token));
    return found->second;
  }

  void encode_part(std::u32string_view text, std::size_t at_most, std::vector<std::int32_t>& out) const {
    for (std::size_t at = 0; at < text.size() && out.size() < at_most;) {
      std::size_t length = 1;
      if (!is_white_space(text[at])) {
        if (!detail::is_bert_punctuation(text[at]))
          while (at + length < text.size() && !is_white_space(text[at + length]) &&
                 !detail::is_bert_punctuation(text[at + length]))
            ++length;
        encode_word(text.substr(at, length), out);
      }
      at += length;
    }
  }

  void encode_word(std::u32string_view word, std::vector<std::int32_t>& out) const {
    if (word.size() > vocabulary_.longest_word) return out.push_back(unknown_);
    const std::size_t before = out.size();
    std::string piece;
    for (std::size_t from = 0; from < word.size();) {
      std::size_t end = word.size();
      for (;; --end) {
        if (end == from) {  // no piece fits
          out.resize(before);
          return out.push_back(unknown_);
        }
        piece = from > 0 ? vocabulary_.prefix : std::string();
        for (const char32_t c : word.substr(from, end - from)) append_utf8(piece, c);
        const auto found = vocabulary_.tokens.find(piece);
        if (found == vocabulary_.tokens.end()) continue;
        out.push_back(found->second);
        break;
      }
      from = end;
    }
  }

  WordPieceVocabulary vocabulary_;
  std::vector<detail::FoundToken> written_;
  std::int32_t start_ = 0, end_ = 0, unknown_ = 0;
};

namespace detail {

/// Adds the special tokens that the vocabulary has as added ones.
inline void add_special_tokens(WordPieceVocabulary& vocabulary) {
  for (const char* token : {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}) {
    const auto found = vocabulary.tokens.find(token);
    if (found != vocabulary.tokens.end()) vocabulary.added.push_back({token, found->second, false});
  }
}

/// A setting of a tokenizer's file: absent and null are `fallback`. Throws FormatError for another kind.
inline bool read_switch(const io::Json& json, const char* name, bool fallback, const std::string& file) {
  const io::Json* value = json.find(name);
  if (value == nullptr || value->is_null()) return fallback;
  const auto* flag = value->as<bool>();
  require<FormatError>(flag != nullptr, "file ", io::in_quotes(file), ": '", name, "' is neither true nor false");
  return *flag;
}

/// Whether letters are lowered and lose their accents; both or none, and CJK ideographs are words.
inline bool read_uncased(const io::Json& json, const char* lower, const char* ideographs, bool fallback,
                         const std::string& file) {
  const bool uncased = read_switch(json, lower, fallback, file);
  require<FormatError>(read_switch(json, "strip_accents", uncased, file) == uncased &&
                           read_switch(json, ideographs, true, file) && read_switch(json, "clean_text", true, file),
                       "file ", io::in_quotes(file), ": 'strip_accents' other than '", lower, "', '", ideographs,
                       "' or 'clean_text' of false are not supported");
  return uncased;
}

}  // namespace detail

/// The vocabulary of a `vocab.txt`: line n (from 0) is the token of id n. Throws IoError; FormatError naming the file
/// and the line for a token that occurs twice.
inline WordPieceVocabulary read_word_piece_lines(const std::string& path) {
  const std::string text = io::read_file(path);
  require<FormatError>(io::valid_utf8(text), "file ", io::in_quotes(path), ": it is not valid UTF-8");
  WordPieceVocabulary out;
  std::string_view rest = text;
  for (std::int32_t id = 0; !rest.empty(); ++id) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const bool fresh = out.tokens.emplace(line, id).second;
    require<FormatError>(fresh, "file ", io::in_quotes(path), ": line ", id + 1, ": token ", io::in_quotes(line),
                         " occurs twice");
  }
  detail::add_special_tokens(out);
  return out;
}

/// The vocabulary of a `tokenizer.json` of BERT. Throws IoError and FormatError naming the file, the latter for other
/// kinds of tokenizer and for settings that are not supported.
inline WordPieceVocabulary read_word_piece_json(const std::string& path) {
  const io::Json json = io::read_json(path);
  const std::string where = "file " + io::in_quotes(path);
  const auto object = [&](const char* name) -> const io::Json& {
    const io::Json* part = json.find(name);
    require<FormatError>(part != nullptr && part->as<io::Json::Object>() != nullptr, where, ": no '", name, "'");
    return *part;
  };
  const auto kind = [&](const char* name, const char* wanted) {
    const auto& type = object(name).member<std::string>("type", where + ": " + name);
    require<FormatError>(type == wanted, where, ": ", name, " ", io::in_quotes(type), " is not BERT's, which is '",
                         wanted, "'");
  };
  const auto id = [&](const std::string& token, const io::Json& value) {
    const auto* number = value.as<std::int64_t>();
    require<FormatError>(number != nullptr && *number >= 0 && *number <= std::numeric_limits<std::int32_t>::max(),
                         where, ": the id of token ", io::in_quotes(token), " is not a number below 2^31");
    return static_cast<std::int32_t>(*number);
  };
  kind("model", "WordPiece");
  kind("normalizer", "BertNormalizer");
  kind("pre_tokenizer", "BertPreTokenizer");
  const io::Json& model = object("model");
  WordPieceVocabulary out;
  out.uncased = detail::read_uncased(object("normalizer"), "lowercase", "handle_chinese_chars", true, path);
  out.unknown = model.member<std::string>("unk_token", where);
  out.prefix = model.member<std::string>("continuing_subword_prefix", where);
  const std::int64_t longest = model.member<std::int64_t>("max_input_chars_per_word", where);
  require<FormatError>(longest >= 1 && longest <= 10000, where, ": max_input_chars_per_word = ", longest,
                       ", 1 to 10000 needed");
  out.longest_word = static_cast<std::size_t>(longest);
  for (const auto& [token, value] : model.member<io::Json::Object>("vocab", where))
    out.tokens.emplace(token, id(token, value));
  if (const io::Json* added = json.find("added_tokens"); added != nullptr && added->as<io::Json::Array>() != nullptr)
    for (const io::Json& token : *added->as<io::Json::Array>()) {
      const auto& content = token.member<std::string>("content", where + ": an added token");
      const io::Json* number = token.find("id");
      out.added.push_back({content, id(content, number != nullptr ? *number : io::Json()), false});
      out.tokens.emplace(content, out.added.back().id);
      for (const char* field : {"lstrip", "rstrip", "single_word", "normalized"})
        require<FormatError>(!detail::read_switch(token, field, false, path), where, ": token ", io::in_quotes(content),
                             ": '", field, "' is not supported");
    }
  return out;
}

/// The vocabulary in a folder, `tokenizer.json` or `vocab.txt` with what `tokenizer_config.json` says about letters; or
/// that of one such file. Throws IoError and FormatError naming the file.
inline WordPieceVocabulary read_word_pieces(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!fs::is_directory(path, ignored))
    return fs::path(path).extension() == ".json" ? read_word_piece_json(path) : read_word_piece_lines(path);
  const auto in_folder = [&](const char* name) { return (fs::path(path) / name).string(); };
  if (fs::exists(in_folder("tokenizer.json"), ignored)) return read_word_piece_json(in_folder("tokenizer.json"));
  require<IoError>(fs::exists(in_folder("vocab.txt"), ignored), "folder ", io::in_quotes(path),
                   ": neither tokenizer.json nor vocab.txt");
  WordPieceVocabulary out = read_word_piece_lines(in_folder("vocab.txt"));
  const std::string config = in_folder("tokenizer_config.json");
  if (fs::exists(config, ignored))
    out.uncased = detail::read_uncased(io::read_json(config), "do_lower_case", "tokenize_chinese_chars", true, config);
  return out;
}

inline WordPieceTokenizer WordPieceTokenizer::open(const std::string& path) {
  return WordPieceTokenizer(read_word_pieces(path));
}

}  // namespace hypersd::text
