// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <hypersd/io/file.hpp>
#include <span>
#include <string>
#include <utility>

namespace hypersd::io {

/// A file mapped read-only into memory. Pages are read on first use. The file must not shrink while it is mapped:
/// access to a page beyond its new end raises SIGBUS.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws IoError naming `path`. An empty file gives an empty span.
  explicit MappedFile(const std::string& path) : MappedFile(open_for_reading(path), path) {}
  /// The same for an open file.
  MappedFile(const FileHandle& file, const std::string& path) {
    size_ = static_cast<std::size_t>(file_size(file, path));
    if (size_ == 0) return;
    void* at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (at == MAP_FAILED) {
      const int code = errno;
      size_ = 0;
      fail<IoError>("cannot map ", in_quotes(path), ": ", system_reason(code));
    }
    data_ = static_cast<const std::uint8_t*>(at);
  }
  MappedFile(MappedFile&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, std::size_t{0})) {}
  MappedFile& operator=(MappedFile&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::uint8_t*>(data_), size_);
  }

  [[nodiscard]] std::span<const std::uint8_t> bytes() const { return {data_, size_}; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace hypersd::io
