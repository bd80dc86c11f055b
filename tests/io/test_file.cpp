// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/file.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>

#include <temp_folder.hpp>

using namespace hypersd;
using test::mentions;
using test::message_of;

namespace {

/// Files larger than `bytes` cannot be written while the object lives: a full disk for one process.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit now{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit old_{};
  void (*handler_)(int) = nullptr;
};

}  // namespace

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

TEST_CASE("a full disk is reported, the old file stays") {
  const test::TempFolder folder;
  io::atomic_write(folder / "a", "old");
  {
    const FileSizeLimit limit(1000);
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
