// SPDX-License-Identifier: Apache-2.0
// A library for LD_PRELOAD that counts the calls of a program which change files, and fails or kills at one of them:
//
//   FAULTS_COUNT=FILE  the number of calls goes to FILE when the program ends
//   FAULTS_AT=N        the N-th call (from 1) is the one; a write is done by half before a kill
//   FAULTS_HOW=kill    SIGKILL (default), or the number of an error with which this call and all later ones fail
//
// Calls on standard streams, and reading, are not counted.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<long> calls{0};
bool finishing = false;

long number(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != '\0' ? std::atol(text) : otherwise;
}
const long at = number("FAULTS_AT", 0);
const long how = number("FAULTS_HOW", 0);  // "kill" is 0

template <class F>
F* next(const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

/// Counts a call. True: it fails with `errno` set. `half`: what a kill leaves done.
template <class Half>
bool fault(const Half& half) {
  if (finishing) return false;
  const long n = ++calls;
  if (at == 0 || n < at) return false;
  if (how != 0) {
    errno = static_cast<int>(how);
    return true;
  }
  half();
  (void)::raise(SIGKILL);
  return false;
}
bool fault() {
  return fault([] {});
}

struct AtEnd {
  ~AtEnd() {
    finishing = true;
    const char* path = std::getenv("FAULTS_COUNT");
    if (path == nullptr) return;
    if (std::FILE* file = std::fopen(path, "w")) {
      std::fprintf(file, "%ld\n", calls.load());
      std::fclose(file);
    }
  }
} at_end;

bool writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0; }
mode_t mode_of(int flags, va_list list) {
  return (flags & O_CREAT) != 0 ? static_cast<mode_t>(va_arg(list, int)) : static_cast<mode_t>(0);
}

}  // namespace

extern "C" {

#define HYPERSD_OPEN(name)                                       \
  int name(const char* path, int flags, ...) {                   \
    va_list list;                                                \
    va_start(list, flags);                                       \
    const mode_t mode = mode_of(flags, list);                    \
    va_end(list);                                                \
    if (writes(flags) && fault()) return -1;                     \
    static auto* real = next<int(const char*, int, ...)>(#name); \
    return real(path, flags, mode);                              \
  }
HYPERSD_OPEN(open)
HYPERSD_OPEN(open64)

ssize_t write(int fd, const void* bytes, size_t count) {
  static auto* real = next<ssize_t(int, const void*, size_t)>("write");
  if (fd > 2 && fault([&] { (void)!real(fd, bytes, count / 2); })) return -1;
  return real(fd, bytes, count);
}
int fsync(int fd) {
  static auto* real = next<int(int)>("fsync");
  return fault() ? -1 : real(fd);
}
int ftruncate(int fd, off_t size) noexcept {
  static auto* real = next<int(int, off_t)>("ftruncate");
  return fault() ? -1 : real(fd, size);
}
int rename(const char* from, const char* to) noexcept {
  static auto* real = next<int(const char*, const char*)>("rename");
  return fault() ? -1 : real(from, to);
}
int link(const char* from, const char* to) noexcept {
  static auto* real = next<int(const char*, const char*)>("link");
  return fault() ? -1 : real(from, to);
}
int unlink(const char* path) noexcept {
  static auto* real = next<int(const char*)>("unlink");
  // A full disk can remove files.
  return fault() && how != ENOSPC ? -1 : real(path);
}
int mkdir(const char* path, mode_t mode) noexcept {
  static auto* real = next<int(const char*, mode_t)>("mkdir");
  return fault() ? -1 : real(path, mode);
}

}  // extern "C"
