// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace hypersd {

/// The name of a type as the compiler spells it, without the library's namespace. For descriptions and messages; it
/// differs between compilers.
template <class T>
std::string type_name() {
  std::string_view text = __PRETTY_FUNCTION__;  // "... [with T = X; ...]" or "... [T = X]"
  text.remove_prefix(text.find("T = ") + 4);
  text = text.substr(0, std::min(text.rfind(']'), text.find(';')));
  std::string out(text);
  const std::string own = "hypersd::";
  for (auto at = out.find(own); at != std::string::npos; at = out.find(own, at)) out.erase(at, own.size());
  return out;
}

}  // namespace hypersd
