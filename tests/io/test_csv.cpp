// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/csv.hpp>

#include <doctest/doctest.h>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

TEST_CASE("fields survive quoting") {
  const std::vector<std::string> fields = {"plain", "", "a,b", "say \"x\"", "two\nlines", "\xC3\xA9"};
  const std::string line = io::csv_line(fields);
  CHECK(line.substr(0, 18) == "plain,,\"a,b\",\"say ");
  std::size_t at = 0;
  std::vector<std::string> back;
  REQUIRE(io::csv_record(line, at, back));
  CHECK(back == fields);
  CHECK(at == line.size());
  CHECK_FALSE(io::csv_record(line, at, back));
}

TEST_CASE("tables") {
  const test::TempFolder folder;
  io::atomic_write(folder / "t.csv", "a,b\r\n1,2\n3,\"4\"\n5");
  const io::CsvTable t = io::read_csv(folder / "t.csv");
  CHECK(t.columns == std::vector<std::string>{"a", "b"});
  REQUIRE(t.rows.size() == 2);
  CHECK(t.rows[1][t.column("b")] == "4");
  CHECK(mentions(message_of<FormatError>([&] { (void)t.column("c"); }), "no column 'c'"));
  io::atomic_write(folder / "t.csv", "a,b\n1,2\n3\n");
  CHECK(
      mentions(message_of<FormatError>([&] { io::read_csv(folder / "t.csv"); }), "record 2 has 1 fields instead of 2"));
  io::atomic_write(folder / "t.csv", "");
  CHECK(mentions(message_of<FormatError>([&] { io::read_csv(folder / "t.csv"); }), "no header line"));
}

TEST_CASE("append files") {
  const test::TempFolder folder;
  {
    io::AppendFile file(folder / "a", 0);
    file.append("one\n");
    file.append("two\n");
    file.sync();
  }
  CHECK(io::read_file(folder / "a") == "one\ntwo\n");
  io::AppendFile(folder / "a", 4).append("2\n");
  CHECK(io::read_file(folder / "a") == "one\n2\n");
  CHECK(mentions(message_of<IoError>([&] { io::AppendFile(folder / "no/a", 0); }), "no/a"));
  io::AppendFile full(folder / "full", 0);
  const test::FileSizeLimit limit(10);
  CHECK(mentions(message_of<IoError>([&] { full.append("more than fits"); }), "full': File too large"));
}

TEST_CASE("append files do not follow links") {
  const test::TempFolder folder;
  io::atomic_write(folder / "precious", "keep");
  REQUIRE(::symlink((folder / "precious").c_str(), (folder / "log").c_str()) == 0);
  CHECK(mentions(message_of<IoError>([&] { io::AppendFile(folder / "log", 0); }), "log': it is a symbolic link"));
  CHECK(io::read_file(folder / "precious") == "keep");
}
