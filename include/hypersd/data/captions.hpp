// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/io/text.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hypersd::data {

/// Lower-case words of a caption, separated by blanks, commas and slashes; hyphens do not separate.
inline std::vector<std::string> caption_words(std::string_view caption) {
  std::vector<std::string> out(1);
  for (const char c : caption) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x80 && (std::isspace(u) != 0 || c == '/' || c == ',')) {
      if (!out.back().empty()) out.emplace_back();
    } else {
      out.back() += u < 0x80 ? static_cast<char>(std::tolower(u)) : c;
    }
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

/// Tokenizer of captions made of class names: one token for each word. Token 0 is the padding; a caption of padding
/// only is the null condition of classifier-free guidance.
class Captions {
 public:
  static constexpr std::int32_t pad = 0;

  Captions() = default;
  /// The vocabulary is the words of `class_names` in the order of their first use. Throws OptionError for a class
  /// name without words.
  explicit Captions(std::vector<std::string> class_names) : classes_(std::move(class_names)) {
    for (const std::string& name : classes_) {
      const auto words = caption_words(name);
      require<OptionError>(!words.empty(), "captions: class name ", io::in_quotes(name), " has no words");
      longest_ = std::max(longest_, static_cast<std::int64_t>(words.size()));
      for (const std::string& word : words)
        if (find(word) == pad) words_.push_back(word);
    }
  }

  /// Number of tokens with the padding: the rows of an embedding.
  [[nodiscard]] std::int64_t vocabulary() const { return static_cast<std::int64_t>(words_.size()) + 1; }
  /// Number of words of the longest class name.
  [[nodiscard]] std::int64_t longest() const { return longest_; }
  [[nodiscard]] const std::vector<std::string>& class_names() const { return classes_; }
  /// The word of a token, empty for the padding.
  [[nodiscard]] std::string word(std::int32_t id) const {
    require<OptionError>(id >= 0 && id < vocabulary(), "captions: no word has token ", id);
    return id == pad ? std::string() : words_[static_cast<std::size_t>(id) - 1];
  }

  /// The tokens [length] of a caption, padded with 0. Throws OptionError for an empty caption, an unknown word (the
  /// message lists the known ones) or too many words.
  [[nodiscard]] Tensor<std::int32_t> encode(std::string_view caption, std::int64_t length) const {
    const auto words = caption_words(caption);
    require<OptionError>(!words.empty(), "caption ", io::in_quotes(caption),
                         " is empty; use the null condition instead");
    require<OptionError>(static_cast<std::int64_t>(words.size()) <= length, "caption ", io::in_quotes(caption), " has ",
                         words.size(), " words, more than the model's limit of ", length);
    Tensor<std::int32_t> out = null(length);
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::int32_t id = find(words[i]);
      require<OptionError>(id != pad, "caption ", io::in_quotes(caption), ": unknown word ", io::in_quotes(words[i]),
                           "; known words: ", known());
      out[static_cast<std::int64_t>(i)] = id;
    }
    return out;
  }
  /// Several captions, [captions, length].
  [[nodiscard]] Tensor<std::int32_t> encode(const std::vector<std::string>& captions, std::int64_t length) const {
    Tensor<std::int32_t> out(Shape{static_cast<std::int64_t>(captions.size()), length});
    for (std::size_t i = 0; i < captions.size(); ++i) {
      const Tensor<std::int32_t> row = encode(captions[i], length);
      std::copy_n(row.data(), length, out.data() + static_cast<std::int64_t>(i) * length);
    }
    return out;
  }
  /// The captions of classes `labels` [N], as [N, length]. Throws OptionError for a label out of range.
  [[nodiscard]] Tensor<std::int32_t> encode_labels(const Tensor<std::int32_t>& labels, std::int64_t length) const {
    std::vector<std::string> captions;
    captions.reserve(static_cast<std::size_t>(labels.size()));
    for (const std::int32_t label : labels.span()) captions.push_back(class_name(label));
    return encode(captions, length);
  }
  /// The name of a class: its caption.
  [[nodiscard]] const std::string& class_name(std::int32_t label) const {
    require<OptionError>(label >= 0 && static_cast<std::size_t>(label) < classes_.size(), "captions: label ", label,
                         " is not one of ", classes_.size(), " classes");
    return classes_[static_cast<std::size_t>(label)];
  }
  /// The null condition: padding, [length].
  [[nodiscard]] static Tensor<std::int32_t> null(std::int64_t length) {
    require<OptionError>(length >= 1, "captions: length ", length, " is below 1");
    return Tensor<std::int32_t>::zeros({length});
  }

 private:
  [[nodiscard]] std::int32_t find(const std::string& word) const {
    const auto it = std::find(words_.begin(), words_.end(), word);
    return it == words_.end() ? pad : static_cast<std::int32_t>(it - words_.begin()) + 1;
  }
  [[nodiscard]] std::string known() const {
    std::string out;
    for (std::size_t i = 0; i < words_.size() && i < 40; ++i) out += (i ? ", " : "") + words_[i];
    return words_.size() > 40 ? out + ", ..." : out;
  }

  std::vector<std::string> classes_, words_;
  std::int64_t longest_ = 0;
};

}  // namespace hypersd::data
