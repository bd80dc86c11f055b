// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/gzip.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>
#include "gzip_text.hpp"

using namespace hypersd;
using test::mentions;
using test::message_of;

TEST_CASE("compressed and plain files read alike") {
  const test::TempFolder folder;
  const std::string text(100000, 'q');
  io::atomic_write(folder / "plain", text);
  io::atomic_write(folder / "packed", test::gzip(text));
  for (const char* name : {"plain", "packed"}) {
    io::GzipFile file(folder / name);
    CHECK(file.size_bound() >= text.size());
    std::string out(text.size() + 10, ' ');
    CHECK(file.read(out.data(), 7) == 7);
    CHECK(file.read(out.data() + 7, out.size() - 7) == text.size() - 7);
    CHECK(out.substr(0, text.size()) == text);
    CHECK(file.read(out.data(), 1) == 0);
  }
}

TEST_CASE("cut and changed compression") {
  const test::TempFolder folder;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i * 7919);
  const std::string packed = test::gzip(text);
  std::string out(text.size() + 1, ' ');
  for (const std::size_t cut : {packed.size() - 1, packed.size() - 8, packed.size() / 2, std::size_t{20}}) {
    io::atomic_write(folder / "cut", packed.substr(0, cut));
    io::GzipFile file(folder / "cut");
    CHECK(
        mentions(message_of<FormatError>([&] { file.read(out.data(), out.size()); }), "cut': the compressed data is"));
  }
  std::string wrong_sum = packed;
  wrong_sum[packed.size() - 6] = static_cast<char>(~wrong_sum[packed.size() - 6]);
  io::atomic_write(folder / "sum", wrong_sum);
  io::GzipFile file(folder / "sum");
  CHECK(mentions(message_of<FormatError>([&] { file.read(out.data(), out.size()); }),
                 "sum': the compressed data is broken (incorrect data check)"));
  CHECK_THROWS_AS(io::GzipFile(folder / "none"), IoError);
}
