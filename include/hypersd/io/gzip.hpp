// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/text.hpp>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace hypersd::io {

/// Sequential reader of a file that is gzip-compressed or plain, which its first bytes say. Needs zlib.
class GzipFile {
 public:
  /// Throws IoError naming `path` if it cannot be opened.
  explicit GzipFile(std::string path) : path_(std::move(path)) {
    FileHandle file = open_for_reading(path_);
    file_bytes_ = io::file_size(file, path_);
    const int copy = ::dup(file.get());
    gz_ = copy >= 0 ? gzdopen(copy, "rb") : nullptr;
    if (gz_ == nullptr) {
      if (copy >= 0) ::close(copy);
      fail<IoError>("cannot read ", in_quotes(path_), ": out of memory or file descriptors");
    }
    gzbuffer(gz_, 1U << 17U);
  }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;
  ~GzipFile() { gzclose(gz_); }

  /// Reads up to `count` bytes; fewer only at the end. Throws FormatError for broken or truncated compression, naming
  /// the file.
  std::size_t read(void* into, std::size_t count) {
    std::size_t done = 0;
    while (done < count) {
      const auto piece = static_cast<unsigned>(std::min<std::size_t>(count - done, 1U << 30U));
      const int n = gzread(gz_, static_cast<char*>(into) + done, piece);
      if (n > 0) done += static_cast<std::size_t>(n);
      // A short count is the end or a truncated stream: zlib's error state distinguishes them.
      if (n < 0 || static_cast<unsigned>(n) < piece) {
        int code = Z_OK;
        std::string_view text = gzerror(gz_, &code);
        // zlib does not know the name: its text is `<fd:4>: reason`.
        if (const std::size_t end = text.find(">: "); text.substr(0, 4) == "<fd:" && end != text.npos)
          text.remove_prefix(end + 3);
        if (code == Z_ERRNO) fail<IoError>("cannot read ", in_quotes(path_), ": ", text);
        if (code == Z_BUF_ERROR) fail<FormatError>("file ", in_quotes(path_), ": the compressed data is truncated");
        if (code != Z_OK && code != Z_STREAM_END)
          fail<FormatError>("file ", in_quotes(path_), ": the compressed data is broken (", text, ")");
        break;
      }
    }
    return done;
  }
  /// Upper bound of the decompressed size: the file's size times the best ratio of deflate.
  [[nodiscard]] std::uint64_t size_bound() const {
    if (gzdirect(gz_) != 0) return file_bytes_;
    const std::uint64_t most = std::numeric_limits<std::uint64_t>::max() / 1100;
    return file_bytes_ > most ? std::numeric_limits<std::uint64_t>::max() : file_bytes_ * 1032 + 1024;
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::uint64_t file_bytes_ = 0;
  gzFile gz_ = nullptr;
};

}  // namespace hypersd::io
