// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/error.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace fuzz {

/// Ends the program, which libFuzzer reports with the input, unless `ok`.
inline void expect(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "property violated: %s\n", what);
  std::abort();
}

/// Runs `body`. An input may be refused by one of the library's errors; any other exception is a finding.
template <class Body>
bool accepted(const Body& body) {
  try {
    body();
    return true;
  } catch (const hypersd::Error&) {
    return false;
  }
}

/// A regular file in memory that holds the input, for readers that take a path.
class File {
 public:
  explicit File(std::string_view bytes) : fd_(::memfd_create("fuzz", 0)) {
    expect(fd_ >= 0, "memfd_create");
    expect(::write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()), "write");
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(fd_); }

  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

/// What one target does with an input.
void run(std::string_view input);

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
