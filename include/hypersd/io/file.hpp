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
/// Files on a POSIX system: whole-file reads, atomic writes; errors name the file and the system's reason.

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
  /// Closes; returns the result of close(), which may be the first to report a full disk.
  int reset() { return fd_ >= 0 ? ::close(std::exchange(fd_, -1)) : 0; }

 private:
  int fd_ = -1;
};

namespace detail {

/// The kind of a file, for messages.
inline const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISLNK(mode)) return "a symbolic link";
  if (S_ISFIFO(mode)) return "a named pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return S_ISREG(mode) ? "a regular file" : "a device";
}

}  // namespace detail

/// Opens an existing regular file for reading. Throws IoError naming `path` if it is missing, not permitted, or a
/// folder, device or named pipe; it does not block on pipes.
inline FileHandle open_for_reading(const std::string& path) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.open()) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
  require<IoError>(S_ISREG(info.st_mode), "cannot read ", in_quotes(path), ": it is ", detail::kind_of(info.st_mode));
  return file;
}

/// Opens a regular file for writing, with `flags` of open() such as `O_CREAT | O_APPEND` (or `O_RDWR`). Throws IoError
/// naming `path` if it is not permitted, a symbolic link, a file with several hard links, a folder, device or named
/// pipe: so no file of another name changes, and the call does not block. Use ftruncate instead of O_TRUNC, which
/// would truncate before these checks.
inline FileHandle open_for_writing(const std::string& path, int flags) {
  const int access = (flags & O_RDWR) != 0 ? 0 : O_WRONLY;
  FileHandle file(::open(path.c_str(), flags | access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
  const int code = errno;
  struct stat info {};
  if (file.open() ? ::fstat(file.get(), &info) != 0 : ::lstat(path.c_str(), &info) != 0)
    fail<IoError>("cannot write ", in_quotes(path), ": ", system_reason(file.open() ? errno : code));
  require<IoError>(S_ISREG(info.st_mode), "cannot write ", in_quotes(path), ": it is ", detail::kind_of(info.st_mode),
                   "; remove it or choose another name");
  require<IoError>(info.st_nlink <= 1, "cannot write ", in_quotes(path), ": it has ", info.st_nlink,
                   " hard links; replace it by a copy of its own");
  if (!file.open()) fail<IoError>("cannot write ", in_quotes(path), ": ", system_reason(code));
  return file;
}

/// Size in bytes of an open file.
inline std::uint64_t file_size(const FileHandle& file, const std::string& path) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail<IoError>("cannot read ", in_quotes(path), ": ", system_reason(errno));
  return static_cast<std::uint64_t>(info.st_size);
}

/// Reads up to `bytes` bytes at `offset`; returns their number, smaller only at the end of the file.
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

/// The whole content of a regular file, also if its reported size is 0 (/proc). Throws IoError.
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

/// An atomic replacement of a file: bytes go to `.NAME.partial` in the same folder, `commit()` flushes them to the disk
/// and renames. Without a commit the old file stays and the partial one is removed. A symbolic link is replaced, not
/// followed.
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

  /// Buffered: small pieces are written together.
  void write(const void* bytes, std::size_t count) {
    if (buffer_.size() + count > buffer_bytes) flush();
    if (count > buffer_bytes) return write_all(file_, bytes, count, path_);
    buffer_.append(static_cast<const char*>(bytes), count);
  }
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }

  /// Flushes to the disk and renames. With `previous`, the old file stays under that name, and replaces what was there;
  /// at each moment at least one of the two is complete. Throws IoError; the old file is then unchanged.
  void commit(const std::string& previous = {}) {
    flush();
    if (::fsync(file_.get()) != 0) fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
    if (!previous.empty()) keep_old(previous);
    if (::rename(partial_.c_str(), path_.c_str()) != 0)
      fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
    if (file_.reset() != 0) fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
    // Makes the rename durable. Some file systems do not support it, which loses no data.
    const FileHandle folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.open()) ::fsync(folder.get());
  }

 private:
  // The partial file is always created. A leftover of a killed process is locked and removed first; the lock of a live
  // writer is an error. After locking, the name must still refer to the locked file.
  void open_partial() {
    for (int attempt = 0; attempt < 16; ++attempt) {
      FileHandle file(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
      const bool created = file.open();
      if (!created) {
        if (errno != EEXIST) fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
        struct stat there {};
        if (::lstat(partial_.c_str(), &there) != 0) continue;
        require<IoError>(S_ISREG(there.st_mode), "cannot write ", in_quotes(path_), ": ", in_quotes(partial_), " is ",
                         detail::kind_of(there.st_mode), "; remove it");
        file = FileHandle(::open(partial_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (!file.open() && errno == ENOENT) continue;
        if (!file.open()) fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
      }
      if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) fail<IoError>("cannot lock ", in_quotes(partial_), ": ", system_reason(errno));
        fail<IoError>("cannot write ", in_quotes(path_), ": another process is writing it");
      }
      struct stat mine {
      }, named{};
      const bool same = ::fstat(file.get(), &mine) == 0 && ::lstat(partial_.c_str(), &named) == 0 &&
                        mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
      if (!same) continue;
      if (created) {
        file_ = std::move(file);
        return;
      }
      ::unlink(partial_.c_str());
    }
    fail<IoError>("cannot write ", in_quotes(path_), ": other processes keep writing it");
  }

  // By a second link, so that no moment is without a file under both names; a file system without links renames.
  void keep_old(const std::string& previous) const {
    struct stat info {};
    if (::lstat(path_.c_str(), &info) != 0) return;
    ::unlink(previous.c_str());
    if (::link(path_.c_str(), previous.c_str()) != 0 && ::rename(path_.c_str(), previous.c_str()) != 0)
      fail<IoError>("cannot write ", in_quotes(previous), ": ", system_reason(errno));
  }

  static constexpr std::size_t buffer_bytes = std::size_t{1} << 20U;
  void flush() {
    write_all(file_, buffer_.data(), buffer_.size(), path_);
    buffer_.clear();
  }

  std::string path_, folder_, partial_, buffer_;
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

/// Creates the folder with its parents if needed and checks that it is writable with a file of `probe_bytes` bytes.
/// Throws IoError that names the folder and the reason: a file of this name, no permission, a full disk.
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
    ::unlink(probe.c_str());  // of a killed process with the same number
    FileHandle file(::open(probe.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
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
