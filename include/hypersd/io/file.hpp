// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <hypersd/core/error.hpp>
#include <hypersd/io/text.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// \file
/// Files on a POSIX system: whole-file reads, atomic writes, and errors that name the file and the system's reason.

namespace hypersd::io {

/// Text of the system's error number `code`, e.g. `No space left on device`.
inline std::string system_reason(int code) { return std::strerror(code); }

/// An owned file descriptor.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int fd) : fd_(fd) {}
  FileHandle(FileHandle&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  FileHandle& operator=(FileHandle&& o) noexcept {
    if (this != &o) {
      reset();
      fd_ = std::exchange(o.fd_, -1);
    }
    return *this;
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  ~FileHandle() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool open() const { return fd_ >= 0; }
  /// Closes; returns what close() returned, since a full disk may show only here.
  int reset() { return fd_ >= 0 ? ::close(std::exchange(fd_, -1)) : 0; }

 private:
  int fd_ = -1;
};

/// Opens an existing regular file for reading. Throws IoError naming `path` (missing, a folder, no permission).
inline FileHandle open_for_reading(const std::string& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.open()) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
  if (S_ISDIR(info.st_mode)) fail<IoError>("cannot read ", in_quotes(path), ": it is a folder");
  return file;
}

/// Size in bytes of an open file.
inline std::uint64_t file_size(const FileHandle& file, const std::string& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
  return static_cast<std::uint64_t>(info.st_size);
}

/// Reads up to `bytes` bytes at `offset`; returns how many there were (less only at the file's end).
inline std::size_t read_at(const FileHandle& file, void* into, std::size_t bytes, std::uint64_t offset,
                           const std::string& path) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t n =
        ::pread(file.get(), static_cast<char*>(into) + done, bytes - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

/// The whole content of a file, including pipes and devices that have no size. Throws IoError.
inline std::string read_file(const std::string& path) {
  const FileHandle file = open_for_reading(path);
  std::string out(static_cast<std::size_t>(file_size(file, path)) + 1, '\0');
  std::size_t done = 0;
  for (;;) {
    if (done == out.size()) out.resize(out.size() * 2 + 4096);
    const ssize_t n = ::read(file.get(), out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  out.resize(done);
  return out;
}

/// Writes all of `bytes` at the current position. Throws IoError with the system's reason (full disk, limits).
inline void write_all(const FileHandle& file, const void* bytes, std::size_t count, const std::string& path) {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t n = ::write(file.get(), static_cast<const char*>(bytes) + done, count - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail<IoError>("cannot write ", in_quotes(path), ": ", system_reason(errno));
    done += static_cast<std::size_t>(n);
  }
}

/// A file that appears under its name complete or not at all: bytes go to `.NAME.partial` in the same folder;
/// `commit()` makes them durable and renames. Without a commit the old file stays and the partial one is removed.
class AtomicFile {
 public:
  /// Throws IoError if the folder is missing or not writable, if `path` exists and is not a regular file, or if
  /// another process is writing the same file now.
  explicit AtomicFile(std::string path) : path_(std::move(path)) {
    const std::filesystem::path target(path_);
    struct stat info {};
    if (::stat(path_.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
      fail<IoError>("cannot write ", in_quotes(path_), ": it exists and is not a regular file");
    if (target.filename().empty()) fail<IoError>("cannot write ", in_quotes(path_), ": no file name");
    folder_ = target.parent_path().empty() ? "." : target.parent_path().string();
    partial_ = (target.parent_path() / ("." + target.filename().string() + ".partial")).string();
    open_partial();
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() {
    if (file_.open()) ::unlink(partial_.c_str());
  }

  void write(const void* bytes, std::size_t count) { write_all(file_, bytes, count, path_); }
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }

  /// Flushes to the disk and puts the file in place. Throws IoError; the old file is then untouched.
  void commit() {
    if (::fsync(file_.get()) != 0) fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
    if (::rename(partial_.c_str(), path_.c_str()) != 0)
      fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
    if (file_.reset() != 0) fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
    // The rename itself lives in the folder; some file systems refuse to sync folders, which is no loss of data.
    const FileHandle folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.open()) ::fsync(folder.get());
  }

 private:
  // A leftover of a killed process is reused, never two writers at once: the lock must be on the file that the name
  // still means after locking.
  void open_partial() {
    for (int attempt = 0; attempt < 16; ++attempt) {
      FileHandle file(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
      if (!file.open()) fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
      if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) fail<IoError>("cannot lock ", in_quotes(partial_), ": ", system_reason(errno));
        fail<IoError>("cannot write ", in_quotes(path_), ": another process is writing it");
      }
      struct stat mine {
      }, named{};
      if (::fstat(file.get(), &mine) == 0 && ::stat(partial_.c_str(), &named) == 0 && mine.st_ino == named.st_ino &&
          mine.st_dev == named.st_dev) {
        if (::ftruncate(file.get(), 0) != 0)
          fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
        file_ = std::move(file);
        return;
      }
    }
    fail<IoError>("cannot write ", in_quotes(path_), ": other processes keep writing it");
  }

  std::string path_, folder_, partial_;
  FileHandle file_;
};

/// Replaces `path` by `bytes`, completely or not at all. Throws IoError; the old content then remains.
inline void atomic_write(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}
/// As above for binary data.
inline void atomic_write(const std::string& path, std::span<const std::uint8_t> bytes) {
  atomic_write(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

/// Creates the folder with its parents if needed and proves that files can be written there by writing one of
/// `probe_bytes`. Throws IoError that names the folder: not creatable, a file in its place, no permission, full.
inline void ensure_writable_folder(const std::string& path, std::size_t probe_bytes = 4096) {
  require<IoError>(!path.empty(), "the output folder has an empty name");
  std::error_code code;
  std::filesystem::create_directories(path, code);
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    const bool taken = std::filesystem::exists(path, ignored);
    fail<IoError>("cannot use output folder ", in_quotes(path), ": ",
                  taken ? std::string("it exists and is not a folder")
                        : (code ? code.message() : std::string("cannot be created")));
  }
  const std::string probe = (std::filesystem::path(path) / (".probe-" + std::to_string(::getpid()))).string();
  try {
    FileHandle file(::open(probe.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!file.open()) fail<IoError>(system_reason(errno));
    write_all(file, std::string(probe_bytes, '\0').data(), probe_bytes, probe);
    if (::fsync(file.get()) != 0) fail<IoError>(system_reason(errno));
    if (file.reset() != 0) fail<IoError>(system_reason(errno));
    ::unlink(probe.c_str());
  } catch (const IoError& error) {
    ::unlink(probe.c_str());
    fail<IoError>("cannot write into output folder ", in_quotes(path), ": ", error.what());
  }
}

}  // namespace hypersd::io
