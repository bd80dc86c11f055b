// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <hypersd/text/clip_vocabulary.hpp>
#include <hypersd/text/unicode.hpp>
#include <span>

namespace hypersd::text {

/// CLIP's byte-level BPE tokenizer, with the ids of transformers' `CLIPTokenizer`:
///
/// 1. Added tokens such as `<|endoftext|>` are found as written.
/// 2. The rest is composed (NFC), runs of white space become one blank, letters become lower case.
/// 3. It is split into 's 't 're 've 'm 'll 'd, runs of letters, single numbers and runs of other characters.
/// 4. The bytes of each word are joined by the merges (`BytePairs`).
///
/// Malformed UTF-8 is refused. `(word:1.3)` and `<lora:name>` have no special meaning.
class ClipTokenizer {
 public:
  ClipTokenizer() = default;
  /// Throws FormatError where a part of a merge or a special token is not in the vocabulary.
  explicit ClipTokenizer(ClipVocabulary vocabulary)
      : vocabulary_(std::move(vocabulary)),
        start_(id_of(vocabulary_.start)),
        end_(id_of(vocabulary_.end)),
        pad_(id_of(vocabulary_.pad)),
        pairs_(vocabulary_.tokens, vocabulary_.merges, id_of(vocabulary_.unknown)) {
    require<OptionError>(vocabulary_.max_length >= 2, "ClipTokenizer: max_length = ", vocabulary_.max_length,
                         ", at least 2 needed");
    for (const AddedToken& token : vocabulary_.added) {
      require<FormatError>(!token.content.empty(), "ClipTokenizer: an added token is empty");
      const std::u32string content = decode_utf8(token.content);
      (token.normalized ? normalized_ : written_)
          .push_back({token.normalized ? normalize(content) : content, token.id});
    }
    Merges().swap(vocabulary_.merges);
  }
  /// The tokenizer of a folder or file, as `read_clip_vocabulary` takes it.
  static ClipTokenizer open(const std::string& path) { return ClipTokenizer(read_clip_vocabulary(path)); }

  /// @name Settings
  /// @{
  [[nodiscard]] std::int32_t start() const { return start_; }
  [[nodiscard]] std::int32_t end() const { return end_; }
  [[nodiscard]] std::int32_t pad() const { return pad_; }
  /// Ids of a prompt with start, end and padding: 77.
  [[nodiscard]] std::int64_t max_length() const { return vocabulary_.max_length; }
  /// The token of an id as the vocabulary writes it, empty where there is none. Takes linear time.
  [[nodiscard]] std::string token(std::int32_t id) const {
    for (const auto& [token, its] : vocabulary_.tokens)
      if (its == id) return token;
    return {};
  }
  /// @}

  /// The first `at_most` ids of `text`, without start, end and padding. Throws FormatError for malformed UTF-8.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text,
                                                 std::size_t at_most = std::numeric_limits<std::size_t>::max()) const {
    std::vector<std::int32_t> out;
    const std::u32string written = decode_utf8(text);
    detail::split_at(written, written_, at_most, out, [&](std::u32string_view part) {
      const std::u32string plain = normalize(part);
      detail::split_at(plain, normalized_, at_most, out,
                       [&](std::u32string_view words) { encode_words(words, at_most, out); });
    });
    if (out.size() > at_most) out.resize(at_most);
    return out;
  }

  /// Start, the first max_length - 2 ids of `text`, end, padding. Throws FormatError for malformed UTF-8.
  [[nodiscard]] std::vector<std::int32_t> padded(std::string_view text) const {
    const auto length = static_cast<std::size_t>(max_length());
    std::vector<std::int32_t> out{start_};
    const auto ids = encode(text, length - 2);
    out.insert(out.end(), ids.begin(), ids.end());
    out.push_back(end_);
    out.resize(length, pad_);
    return out;
  }

  /// The padded ids of several prompts: [prompts, max_length]. Throws FormatError for malformed UTF-8 and ShapeError
  /// without prompts.
  [[nodiscard]] Tensor<std::int32_t> operator()(std::span<const std::string> prompts) const {
    require<ShapeError>(!prompts.empty(), "ClipTokenizer: no prompts");
    Tensor<std::int32_t> out(Shape{static_cast<std::int64_t>(prompts.size()), max_length()});
    std::int64_t at = 0;
    for (const std::string& prompt : prompts)
      for (const std::int32_t id : padded(prompt)) out[at++] = id;
    return out;
  }

 private:
  [[nodiscard]] std::int32_t id_of(const std::string& token) const {
    const auto found = vocabulary_.tokens.find(token);
    require<FormatError>(found != vocabulary_.tokens.end(), "ClipTokenizer: the vocabulary has no token ",
                         io::in_quotes(token));
    return found->second;
  }

  static std::u32string normalize(std::u32string_view text) {
    std::u32string out;
    out.reserve(text.size());
    bool blank = false;
    for (const char32_t c : nfc(text)) {
      const bool space = is_white_space(c);
      if (!space)
        append_lower(out, c);
      else if (!blank)
        out += U' ';
      blank = space;
    }
    return out;
  }

  void encode_words(std::u32string_view text, std::size_t at_most, std::vector<std::int32_t>& out) const {
    std::string word;
    const auto flush = [&](std::u32string_view piece) {
      word.clear();
      for (const char32_t c : piece) append_utf8(word, c);
      pairs_.encode(word, out);
    };
    for (std::size_t at = 0; at < text.size() && out.size() < at_most;) {
      const std::u32string_view rest = text.substr(at);
      const CharClass kind = char_class(rest[0]);
      std::size_t length = 1;
      if (const std::size_t special = special_length(rest); special > 0) {
        // In lower case by step 2, it is no added token but a piece of its own: `<|`, `endoftext`, `|>`.
        flush(rest.substr(0, 2));
        flush(rest.substr(2, special - 4));
        flush(rest.substr(special - 2, 2));
        length = special;
      } else if (const std::size_t ending = ending_length(rest); ending > 0) {
        flush(rest.substr(0, length = ending));
      } else if (kind != CharClass::space) {
        if (kind != CharClass::number)
          while (length < rest.size() && char_class(rest[length]) == kind) ++length;
        flush(rest.substr(0, length));
      }
      at += length;
    }
  }

  static std::size_t special_length(std::u32string_view text) {
    for (const std::u32string_view token : {U"<|startoftext|>", U"<|endoftext|>"})
      if (text.substr(0, token.size()) == token) return token.size();
    return 0;
  }
  static std::size_t ending_length(std::u32string_view text) {
    if (text[0] != U'\'') return 0;
    for (const std::u32string_view ending : {U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"})
      if (text.substr(0, ending.size()) == ending) return ending.size();
    return 0;
  }

  ClipVocabulary vocabulary_;
  std::vector<detail::FoundToken> written_, normalized_;
  std::int32_t start_ = 0, end_ = 0, pad_ = 0;
  BytePairs pairs_;
};

}  // namespace hypersd::text
