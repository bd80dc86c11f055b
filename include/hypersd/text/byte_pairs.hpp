// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <hypersd/core/error.hpp>
#include <hypersd/io/text.hpp>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hypersd::text {

/// Tokens with their ids.
using Vocabulary = std::unordered_map<std::string, std::int32_t>;
/// Pairs of tokens to join, the most urgent first.
using Merges = std::vector<std::pair<std::string, std::string>>;

/// The printable character, in UTF-8, that byte-level vocabularies write for each byte: itself for 33-126, 161-172 and
/// 174-255, and U+0100, U+0101, ... for the others in increasing order.
inline std::array<std::string, 256> byte_symbols() {
  std::array<std::string, 256> out;
  unsigned next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    const unsigned code = printable ? byte : next++;
    std::string& symbol = out[byte];
    if (code >= 0x80) symbol += static_cast<char>(0xC0U | (code >> 6U));
    symbol += static_cast<char>(code < 0x80 ? code : (0x80U | (code & 0x3FU)));
  }
  return out;
}

/// Byte-pair encoding of words: the bytes are joined pair by pair, the pair with the lowest rank first and the leftmost
/// of equals, until no known pair is left (Sennrich et al., "Neural machine translation of rare words with subword
/// units"). The last byte of a word carries the suffix `</w>`.
class BytePairs {
 public:
  static constexpr std::string_view suffix = "</w>";

  BytePairs() = default;
  /// `unknown` is the id of bytes that have no token. Throws FormatError for a merge whose parts or result have none.
  BytePairs(const Vocabulary& tokens, const Merges& merges, std::int32_t unknown) {
    const auto id_or = [&](const std::string& token, std::int32_t other) {
      const auto found = tokens.find(token);
      return found == tokens.end() ? other : found->second;
    };
    const auto symbols = byte_symbols();
    for (std::size_t byte = 0; byte < 256; ++byte) {
      inner_[byte] = id_or(symbols[byte], unknown);
      last_[byte] = id_or(symbols[byte] + std::string(suffix), unknown);
    }
    joins_.reserve(merges.size());
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      const std::string &left = merges[rank].first, &right = merges[rank].second;
      const auto id = [&](const std::string& token) {
        const auto found = tokens.find(token);
        require<FormatError>(found != tokens.end(), "merge ", rank + 1, " (", io::in_quotes(left), " ",
                             io::in_quotes(right), "): the vocabulary has no token ", io::in_quotes(token));
        return found->second;
      };
      joins_[key(id(left), id(right))] = {static_cast<std::int32_t>(rank), id(left + right)};
    }
  }

  /// Appends the ids of a word, given as its bytes, in O(n log n).
  void encode(std::string_view word, std::vector<std::int32_t>& out) const {
    if (word.empty()) return;
    const auto count = static_cast<std::int32_t>(word.size());
    std::vector<Symbol> symbols(word.size());
    for (std::int32_t i = 0; i < count; ++i) {
      const auto byte = static_cast<unsigned char>(word[static_cast<std::size_t>(i)]);
      symbols[static_cast<std::size_t>(i)] = {i + 1 < count ? inner_[byte] : last_[byte], i - 1, i + 1};
    }
    const auto at = [&](std::int32_t i) -> Symbol& { return symbols[static_cast<std::size_t>(i)]; };
    // The join of a symbol with the next one, if there is one.
    const auto join_of = [&](std::int32_t left) -> const Join* {
      if (left < 0 || at(left).id == joined || at(left).next >= count) return nullptr;
      const auto found = joins_.find(key(at(left).id, at(at(left).next).id));
      return found == joins_.end() ? nullptr : &found->second;
    };
    using Candidate = std::pair<std::int32_t, std::int32_t>;  // rank and left symbol
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto consider = [&](std::int32_t left) {
      if (const Join* join = join_of(left)) queue.emplace(join->rank, left);
    };
    for (std::int32_t i = 0; i + 1 < count; ++i) consider(i);
    while (!queue.empty()) {
      const auto [rank, left] = queue.top();
      queue.pop();
      const Join* join = join_of(left);
      if (join == nullptr || join->rank != rank) continue;  // one of the two has been joined with another since
      const std::int32_t right = at(left).next, next = at(right).next;
      at(left) = {join->id, at(left).previous, next};
      at(right).id = joined;
      if (next < count) at(next).previous = left;
      consider(at(left).previous);
      consider(left);
    }
    for (std::int32_t i = 0; i < count; i = at(i).next) out.push_back(at(i).id);
  }

 private:
  struct Join {
    std::int32_t rank = 0, id = 0;
  };
  struct Symbol {
    std::int32_t id = 0, previous = 0, next = 0;
  };
  static constexpr std::int32_t joined = -1;

  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32U) | static_cast<std::uint32_t>(right);
  }

  std::array<std::int32_t, 256> inner_{}, last_{};
  std::unordered_map<std::uint64_t, Join> joins_;
};

}  // namespace hypersd::text
