// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/file.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

TEST_CASE("atomic_write and read_file") {
  const test::TempFolder folder;
  io::atomic_write(folder / "a", "one");
  CHECK(io::read_file(folder / "a") == "one");
  const std::string big(3'000'000, 'x');
  io::atomic_write(folder / "a", big);
  CHECK(io::read_file(folder / "a") == big);
  io::atomic_write(folder / "a", "");
  CHECK(io::read_file(folder / "a").empty());
  CHECK(folder.count() == 1);
  CHECK_FALSE(io::read_file("/proc/self/status").empty());  // its size is reported as 0
}

TEST_CASE("unreadable files are named with the reason") {
  const test::TempFolder folder;
  CHECK(mentions(message_of<IoError>([&] { io::read_file(folder / "none"); }), "none': No such file"));
  CHECK(mentions(message_of<IoError>([&] { io::read_file(folder.path()); }), "it is a folder"));
}

TEST_CASE("without a commit the old file stays and nothing is left over") {
  const test::TempFolder folder;
  io::atomic_write(folder / "a", "old");
  {
    io::AtomicFile file(folder / "a");
    file.write("new");
    CHECK(folder.count() == 2);
  }
  CHECK(io::read_file(folder / "a") == "old");
  CHECK(folder.count() == 1);
}

TEST_CASE("a commit may keep the old file under another name") {
  const test::TempFolder folder;
  const auto replace = [&](const std::string& text) {
    io::AtomicFile file(folder / "a");
    file.write(text);
    file.commit(folder / "a.previous");
  };
  replace("first");
  CHECK(!std::filesystem::exists(folder / "a.previous"));
  replace("second");
  CHECK(io::read_file(folder / "a.previous") == "first");
  replace("third");
  CHECK(io::read_file(folder / "a") == "third");
  CHECK(io::read_file(folder / "a.previous") == "second");
  CHECK(std::filesystem::hard_link_count(folder / "a.previous") == 1);
}

TEST_CASE("a full disk is reported, the old file stays") {
  const test::TempFolder folder;
  io::atomic_write(folder / "a", "old");
  {
    const test::FileSizeLimit limit(1000);
    CHECK(mentions(message_of<IoError>([&] { io::atomic_write(folder / "a", std::string(5000, 'n')); }),
                   "a': File too large"));
    CHECK(mentions(message_of<IoError>([&] { io::ensure_writable_folder(folder.path()); }),
                   "cannot write into output folder"));
  }
  CHECK(io::read_file(folder / "a") == "old");
  CHECK(folder.count() == 1);
  const io::FileHandle full(::open("/dev/full", O_WRONLY));
  REQUIRE(full.open());
  CHECK(mentions(message_of<IoError>([&] { io::write_all(full, "x", 1, "out.csv"); }),
                 "cannot write 'out.csv': No space left on device"));
}

TEST_CASE("a leftover of a killed process is reused, two writers are not mixed") {
  const test::TempFolder folder;
  {
    const io::FileHandle stale(::open((folder / ".a.partial").c_str(), O_WRONLY | O_CREAT, 0666));
    io::write_all(stale, "garbage that is longer", 22, "stale");
  }
  io::atomic_write(folder / "a", "new");
  CHECK(io::read_file(folder / "a") == "new");
  CHECK(folder.count() == 1);
  const io::AtomicFile first(folder / "a");
  CHECK(mentions(message_of<IoError>([&] { io::AtomicFile second(folder / "a"); }), "another process is writing"));
}

TEST_CASE("a linked partial file or target is replaced, what it links to stays") {
  const test::TempFolder folder;
  io::atomic_write(folder / "precious", "keep");
  REQUIRE(::link((folder / "precious").c_str(), (folder / ".a.partial").c_str()) == 0);
  io::atomic_write(folder / "a", "new");
  CHECK(io::read_file(folder / "precious") == "keep");
  CHECK(io::read_file(folder / "a") == "new");
  REQUIRE(::symlink((folder / "precious").c_str(), (folder / "b").c_str()) == 0);
  io::atomic_write(folder / "b", "new");
  CHECK(io::read_file(folder / "precious") == "keep");
  CHECK(io::read_file(folder / "b") == "new");
  REQUIRE(::symlink((folder / "precious").c_str(), (folder / ".c.partial").c_str()) == 0);
  CHECK(mentions(message_of<IoError>([&] { io::atomic_write(folder / "c", "new"); }), "is a symbolic link; remove it"));
  CHECK(io::read_file(folder / "precious") == "keep");
}

TEST_CASE("links and pipes are not opened for writing, pipes are not waited for") {
  const test::TempFolder folder;
  io::atomic_write(folder / "precious", "keep");
  REQUIRE(::symlink((folder / "precious").c_str(), (folder / "soft").c_str()) == 0);
  REQUIRE(::link((folder / "precious").c_str(), (folder / "hard").c_str()) == 0);
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0666) == 0);
  REQUIRE(::mkfifo((folder / ".d.partial").c_str(), 0666) == 0);
  const auto refusal = [&](const std::string& path) {
    return message_of<IoError>([&] { (void)io::open_for_writing(path, O_CREAT); });
  };
  CHECK(mentions(refusal(folder / "soft"), "soft': it is a symbolic link; remove it or choose another name"));
  CHECK(mentions(refusal(folder / "hard"), "hard': it has 2 hard links; replace it by a copy of its own"));
  CHECK(mentions(refusal(folder / "pipe"), "pipe': it is a named pipe"));
  CHECK(mentions(refusal(folder.path()), "it is a folder"));
  CHECK(mentions(refusal("/dev/full"), "it is a device"));
  CHECK(mentions(refusal(folder / "no/a"), "No such file"));
  CHECK(mentions(message_of<IoError>([&] { io::atomic_write(folder / "d", "x"); }), "named pipe; remove it"));
  CHECK(mentions(message_of<IoError>([&] { io::read_file(folder / "pipe"); }), "pipe': it is a named pipe"));
  CHECK(io::read_file(folder / "soft") == "keep");  // links may be read
}

TEST_CASE("small pieces are written together") {
  const test::TempFolder folder;
  const auto calls = [] {
    std::ifstream in("/proc/self/io");
    std::string name;
    for (long n = 0; in >> name >> n;)
      if (name == "syscw:") return n;
    return -1L;
  };
  const long before = calls();
  std::string all;
  {
    io::AtomicFile file(folder / "a");
    for (int i = 0; i < 4000; ++i) {
      const std::string piece(static_cast<std::size_t>(i), static_cast<char>('a' + i % 26));
      file.write(piece);
      all += piece;
    }
    const std::string large(3'000'000, 'z');
    file.write(large);
    file.write("end");
    all += large + "end";
    file.commit();
  }
  if (before >= 0) CHECK(calls() - before < 30);
  CHECK(io::read_file(folder / "a") == all);
}

TEST_CASE("targets that are no regular files") {
  const test::TempFolder folder;
  CHECK(mentions(message_of<IoError>([&] { io::atomic_write(folder.path(), "x"); }), "not a regular file"));
  CHECK(mentions(message_of<IoError>([&] { io::atomic_write("/dev/full", "x"); }), "not a regular file"));
  CHECK(mentions(message_of<IoError>([&] { io::atomic_write(folder / "no/a", "x"); }), "No such file"));
}

TEST_CASE("output folders") {
  const test::TempFolder folder;
  io::ensure_writable_folder(folder / "x/y/z");
  CHECK(std::filesystem::is_directory(folder / "x/y/z"));
  CHECK(std::filesystem::is_empty(folder / "x/y/z"));
  io::ensure_writable_folder(folder / "x/y/z");
  io::ensure_writable_folder(folder / "trailing/");
  io::atomic_write(folder / "file", "x");
  CHECK(mentions(message_of<IoError>([&] { io::ensure_writable_folder(folder / "file"); }), "not a folder"));
  CHECK(mentions(message_of<IoError>([&] { io::ensure_writable_folder(folder / "file/sub"); }), "file/sub"));
  CHECK(mentions(message_of<IoError>([&] { io::ensure_writable_folder("/proc/hypersd"); }), "/proc/hypersd"));
  CHECK_THROWS_AS(io::ensure_writable_folder(""), IoError);
  if (::geteuid() != 0) {
    std::filesystem::permissions(folder / "x", std::filesystem::perms::owner_read);
    CHECK_THROWS_AS(io::ensure_writable_folder(folder / "x"), IoError);
    std::filesystem::permissions(folder / "x", std::filesystem::perms::owner_all);
  }
}
