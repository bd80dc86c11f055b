// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/idx.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <hypersd/core/philox.hpp>
#include <vector>

#include <temp_folder.hpp>
#include "gzip_text.hpp"

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

std::string idx(char type, const std::vector<std::uint32_t>& extents, const std::string& data) {
  std::string out{'\0', '\0', type, static_cast<char>(extents.size())};
  for (const std::uint32_t n : extents)
    for (const unsigned shift : {24U, 16U, 8U, 0U}) out += static_cast<char>(n >> shift & 0xFFU);
  return out + data;
}

template <class T = std::uint8_t>
std::string refusal(const test::TempFolder& folder, const std::string& bytes) {
  io::atomic_write(folder / "f.idx", bytes);
  const std::string text = message_of<FormatError>([&] { io::read_idx<T>(folder / "f.idx"); });
  CHECK(mentions(text, "f.idx"));
  return text;
}

}  // namespace

TEST_CASE("all types, plain and compressed") {
  const test::TempFolder folder;
  const std::string bytes = idx(8, {2, 3}, "abcdef");
  for (const std::string& image : {bytes, test::gzip(bytes)}) {
    io::atomic_write(folder / "a", image);
    const auto t = io::read_idx<std::uint8_t>(folder / "a");
    CHECK(t.shape() == Shape{2, 3});
    CHECK(t[5] == 'f');
  }
  io::atomic_write(folder / "i", idx(12, {2}, std::string("\0\0\1\2\xFF\xFF\xFF\xFE", 8)));
  CHECK(io::read_idx<std::int32_t>(folder / "i").to_vector() == std::vector<std::int32_t>{258, -2});
  io::atomic_write(folder / "r", idx(13, {1, 1, 1, 1}, std::string("\x3F\xC0\0\0", 4)));
  CHECK(io::read_idx<float>(folder / "r").item() == 1.5F);
  io::atomic_write(folder / "e", idx(8, {0, 28, 28}, ""));
  CHECK(io::read_idx<std::uint8_t>(folder / "e").shape() == Shape{0, 28, 28});
}

TEST_CASE("files that are not what they should be") {
  const test::TempFolder folder;
  CHECK(mentions(message_of<IoError>([&] { io::read_idx<float>(folder / "none"); }), "No such file"));
  CHECK(mentions(refusal(folder, ""), "truncated, 0 bytes"));
  CHECK(mentions(refusal(folder, "\x89PNG\r\n not IDX"), "no IDX"));
  CHECK(mentions(refusal(folder, idx(13, {1}, "1234")), "is f32, not u8"));
  CHECK(mentions(refusal<float>(folder, idx(8, {1}, "1")), "is u8, not f32"));
  CHECK(mentions(refusal(folder, idx(1, {1}, "1")), "no known type"));
  CHECK(mentions(refusal(folder, idx(8, {}, "")), "rank 0"));
  CHECK(mentions(refusal(folder, idx(8, {1, 1, 1, 1, 1, 1, 1}, "1")), "rank 7"));
  CHECK(mentions(refusal(folder, idx(8, {2, 2}, "").substr(0, 9)), "truncated inside the header"));
  CHECK(mentions(refusal(folder, idx(8, {2, 3}, "abcde")), "more than the file can hold"));
  CHECK(mentions(refusal(folder, test::gzip(idx(8, {2, 3}, "abcde"))), "[2, 3] takes 6 bytes but 5"));
  CHECK(mentions(refusal(folder, idx(8, {2, 3}, "abcdefg")), "more bytes follow the 6 of shape [2, 3]"));
  CHECK(mentions(refusal(folder, idx(8, {0xFFFFFFFFU, 0xFFFFFFFFU, 0xFFFFFFFFU}, "")), "too large"));
  CHECK(mentions(refusal(folder, idx(8, {0, 0xFFFFFFFFU, 0xFFFFFFFFU, 0xFFFFFFFFU}, "")), "too large"));
  CHECK(mentions(refusal(folder, test::gzip(idx(8, {0xFFFFFFFFU, 8}, "x"))), "more than the file can hold"));
  const std::string packed = test::gzip(idx(8, {100}, std::string(100, 'x')));
  CHECK(mentions(refusal(folder, packed.substr(0, packed.size() - 3)), "truncated"));
}

TEST_CASE("mismatched counts name both files and numbers") {
  CHECK_NOTHROW(io::require_same_count("a", 3, "b", 3));
  CHECK(message_of<FormatError>([] { io::require_same_count("a", 3, "b", 4); }) ==
        "'a' holds 3 images but 'b' holds 4 labels");
}

TEST_CASE("changed bytes are refused or read, never worse") {
  const test::TempFolder folder;
  const std::string plain = idx(8, {2, 3}, "abcdef"), packed = test::gzip(plain);
  const Stream random = stream(5, "mutate");
  for (std::uint64_t i = 0; i < 600; ++i) {
    std::string mutant = i % 2 ? plain : packed;
    const auto at = static_cast<std::size_t>(integer_at(random, 2 * i, static_cast<std::int64_t>(mutant.size())));
    mutant[at] = static_cast<char>(bits_at(random, 2 * i + 1));
    {
      const io::FileHandle out(::open((folder / "m").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666));
      io::write_all(out, mutant.data(), mutant.size(), "m");
    }
    try {
      io::read_idx<std::uint8_t>(folder / "m");
    } catch (const Error&) {
    }
  }
}
