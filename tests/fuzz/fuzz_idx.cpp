// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/io/idx.hpp>

using namespace hypersd;

namespace {

template <class T>
void read(std::string_view bytes) {
  const fuzz::File file(bytes);
  const auto bound = static_cast<std::int64_t>(bytes.size() * 1032 + 1024);
  fuzz::accepted([&] { fuzz::expect(io::read_idx<T>(file.path()).size() <= bound, "the file holds its elements"); });
}

}  // namespace

/// The first byte says the type that is wanted, the rest is a file, plain or compressed. What is accepted takes no more
/// memory than the file can hold.
void fuzz::run(std::string_view input) {
  if (input.empty()) return;
  const char kind = input[0];
  input.remove_prefix(1);
  if (kind == 'i') return read<std::int32_t>(input);
  if (kind == 'f') return read<float>(input);
  read<std::uint8_t>(input);
}
