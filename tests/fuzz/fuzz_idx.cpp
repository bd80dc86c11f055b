// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/io/idx.hpp>

using namespace hypersd;

/// Plain or compressed; what is accepted takes no more memory than the file can hold.
void fuzz::run(std::string_view input) {
  const File file(input);
  const auto bound = static_cast<std::int64_t>(input.size() * 1032 + 1024);
  accepted([&] { expect(io::read_idx<std::uint8_t>(file.path()).size() <= bound, "the file holds its elements"); });
  accepted([&] { expect(io::read_idx<std::int32_t>(file.path()).size() <= bound, "the file holds its elements"); });
  accepted([&] { expect(io::read_idx<float>(file.path()).size() <= bound, "the file holds its elements"); });
}
