// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/io/json_events.hpp>
#include <hypersd/io/text.hpp>
#include <nlohmann/json.hpp>

#include <cmath>

using namespace hypersd;

namespace {

struct Ignore {
  bool huge = false;  // a number beyond double, which nlohmann's parser refuses

  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number(io::JsonNumber, std::uint64_t, std::string_view text) {
    huge = huge || std::isinf(std::strtod(std::string(text).c_str(), nullptr));
    return true;
  }
  bool string(std::string&) { return true; }
  bool key(std::string&) { return true; }
  bool start_object() { return true; }
  bool end_object() { return true; }
  bool start_array() { return true; }
  bool end_array() { return true; }
};

}  // namespace

/// The parser accepts what nlohmann's accepts, apart from a byte order mark, text after a NUL and numbers beyond
/// double.
void fuzz::run(std::string_view input) {
  if (!io::valid_utf8(input) || input.substr(0, 3) == "\xEF\xBB\xBF") return;
  Ignore handler;
  io::JsonEvents events(input, handler);
  const bool mine = events.parse();
  expect(mine == events.error().empty(), "an error has a text");
  if (handler.huge) return;
  expect(input.find('\0') == std::string_view::npos ? mine == nlohmann::json::accept(input) : !mine,
         "both parsers agree");
}
