// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hypersd::text {

/// A token that is found in the text before it is split into words.
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool normalized = false;  ///< found in the normalized (lower-case) text, not in the text as written
};

namespace detail {

/// An added token as code points.
struct FoundToken {
  std::u32string content;
  std::int32_t id = 0;
};

/// Appends the ids of `tokens` in `text`, the leftmost first and the longest of those that begin there; `rest` takes
/// what stands between them. Stops when `out` has `at_most` ids.
template <class Rest>
void split_at(std::u32string_view text, const std::vector<FoundToken>& tokens, std::size_t at_most,
              std::vector<std::int32_t>& out, Rest&& rest) {
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size() && out.size() < at_most;) {
    const FoundToken* best = nullptr;
    for (const FoundToken& token : tokens)
      if (text[at] == token.content[0] && text.substr(at, token.content.size()) == token.content &&
          (best == nullptr || token.content.size() > best->content.size()))
        best = &token;
    if (best == nullptr) {
      ++at;
      continue;
    }
    if (at > from) rest(text.substr(from, at - from));
    out.push_back(best->id);
    from = at += best->content.size();
  }
  if (from < text.size() && out.size() < at_most) rest(text.substr(from));
}

}  // namespace detail
}  // namespace hypersd::text
