// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/text.hpp>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// \file
/// Zip archives (PKWARE's APPNOTE 6.3), stored and deflated entries. Needs zlib.

namespace hypersd::io {

namespace detail {

inline constexpr std::uint32_t zip_local = 0x04034b50, zip_central = 0x02014b50, zip_end = 0x06054b50,
                               zip64_end = 0x06064b50, zip64_locator = 0x07064b50;

/// The little-endian number of `bytes` bytes at `at`, which must lie in `text`.
inline std::uint64_t little(std::string_view text, std::size_t at, std::size_t bytes) {
  std::uint64_t out = 0;
  for (std::size_t i = bytes; i-- > 0;) out = out << 8U | static_cast<unsigned char>(text[at + i]);
  return out;
}
inline void put_little(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFFU);
}

/// A zlib stream of raw deflate data between two buffers of any size. `step` is inflate or deflate.
template <class Step>
int zip_stream(z_stream& z, std::string_view in, char* out, std::size_t space, const Step& step) {
  constexpr std::size_t most = std::numeric_limits<uInt>::max();
  std::size_t taken = 0, given = 0;
  int code = Z_OK;
  do {
    const std::size_t in_now = std::min(most, in.size() - taken), out_now = std::min(most, space - given);
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data() + taken));
    z.avail_in = static_cast<uInt>(in_now);
    z.next_out = reinterpret_cast<Bytef*>(out + given);
    z.avail_out = static_cast<uInt>(out_now);
    code = step(z, taken + in_now == in.size());
    taken += in_now - z.avail_in;
    given += out_now - z.avail_out;
  } while (code == Z_OK && (taken < in.size() || given < space));
  return code;
}

}  // namespace detail

/// Reader of an archive. The constructor checks the directory, `read` the entry. Memory is bounded by the file's size
/// times 1032, the best ratio of deflate, whatever the archive claims. Encrypted entries, other compression methods,
/// archives of several files and names that occur twice are refused. `read` is thread-safe.
class ZipFile {
 public:
  /// Throws IoError or FormatError naming `path`.
  explicit ZipFile(std::string path) : path_(std::move(path)), file_(open_for_reading(path_)) {
    size_ = file_size(file_, path_);
    const Directory directory = find_directory();
    directory_ = directory.offset;
    const std::string bytes = piece(directory.offset, directory.bytes);
    std::size_t at = 0;
    for (std::uint64_t i = 0; i < directory.entries; ++i) at = add(bytes, at);
    check(at == bytes.size(), "the directory has more than its entries");
  }

  /// Names of the entries in byte order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : entries_) out.push_back(entry.first);
    return out;
  }
  [[nodiscard]] bool contains(const std::string& name) const { return entries_.count(name) != 0; }
  [[nodiscard]] const std::string& path() const { return path_; }

  /// The content of an entry, its checksum verified. Throws FormatError naming file and entry.
  [[nodiscard]] std::string read(const std::string& name) const {
    const auto found = entries_.find(name);
    check(found != entries_.end(), "there is no entry ", in_quotes(name));
    const Entry& e = found->second;
    const auto wrong = [&](bool ok, const char* what) { check(ok, "entry ", in_quotes(name), ": ", what); };
    wrong(e.method == 0 || e.method == Z_DEFLATED, "neither stored nor deflated");
    const std::string head = piece(e.offset, 30);
    wrong(detail::little(head, 0, 4) == detail::zip_local, "not where the directory says");
    const std::uint64_t name_bytes = detail::little(head, 26, 2);
    wrong(piece(e.offset + 30, name_bytes) == name, "not where the directory says");
    const std::uint64_t begin = e.offset + 30 + name_bytes + detail::little(head, 28, 2);
    wrong(begin <= directory_ && e.packed <= directory_ - begin, "reaches beyond the data");
    std::string packed = piece(begin, e.packed);
    if (e.method == 0) {
      wrong(e.packed == e.size, "stored with two different sizes");
    } else {
      wrong(e.size / 1032 <= e.packed, "larger than its compressed data allow");
      packed = inflated(packed, e.size, name);
    }
    const uLong crc = ::crc32_z(0, reinterpret_cast<const Bytef*>(packed.data()), packed.size());
    wrong(crc == e.crc, "damaged: its checksum differs");
    return packed;
  }

 private:
  struct Entry {
    std::uint64_t offset, packed, size;
    std::uint32_t crc, method;
  };
  struct Directory {
    std::uint64_t offset, bytes, entries;
  };

  template <class... Parts>
  void check(bool ok, const Parts&... parts) const {
    if (!ok) fail<FormatError>("zip file ", in_quotes(path_), ": ", parts...);
  }
  [[nodiscard]] std::string piece(std::uint64_t offset, std::uint64_t bytes) const {
    check(offset <= size_ && bytes <= size_ - offset, "truncated");
    std::string out(static_cast<std::size_t>(bytes), '\0');
    check(read_at(file_, out.data(), out.size(), offset, path_) == out.size(), "truncated");
    return out;
  }

  // The end record is the last thing in the file but for a comment.
  [[nodiscard]] Directory find_directory() const {
    constexpr std::uint64_t record = 22, most_comment = 65535;
    check(size_ >= record, "it does not end like a zip file");
    const std::uint64_t tail_at = size_ - std::min(size_, record + most_comment);
    const std::string tail = piece(tail_at, size_ - tail_at);
    std::size_t at = tail.size() - record;
    const auto ends_here = [&] {
      return detail::little(tail, at, 4) == detail::zip_end &&
             at + record + detail::little(tail, at + 20, 2) == tail.size();
    };
    while (!ends_here()) {
      check(at > 0, "it does not end like a zip file");
      --at;
    }
    std::uint64_t end = tail_at + at;
    Directory out{detail::little(tail, at + 16, 4), detail::little(tail, at + 12, 4), detail::little(tail, at + 10, 2)};
    const std::uint64_t here = detail::little(tail, at + 8, 2);
    const bool wide = out.offset == 0xFFFFFFFF || out.bytes == 0xFFFFFFFF || out.entries == 0xFFFF;
    if (wide && end >= 20 && detail::little(piece(end - 20, 20), 0, 4) == detail::zip64_locator) {
      end = detail::little(piece(end - 20, 20), 8, 8);
      const std::string text = piece(end, 56);
      check(detail::little(text, 0, 4) == detail::zip64_end, "the zip64 end record is missing");
      out = {detail::little(text, 48, 8), detail::little(text, 40, 8), detail::little(text, 32, 8)};
      check(detail::little(text, 24, 8) == out.entries, "it is part of an archive of several files");
    } else {
      check(here == out.entries, "it is part of an archive of several files");
    }
    check(out.offset <= end && out.bytes <= end - out.offset, "the directory is not where the end record says");
    return out;
  }

  // The directory's entry at `at`; returns where the next one begins.
  std::size_t add(std::string_view bytes, std::size_t at) {
    check(bytes.size() - at >= 46 && detail::little(bytes, at, 4) == detail::zip_central, "the directory is broken");
    const std::size_t name_bytes = detail::little(bytes, at + 28, 2), extra_bytes = detail::little(bytes, at + 30, 2);
    const std::size_t next = at + 46 + name_bytes + extra_bytes + detail::little(bytes, at + 32, 2);
    check(next <= bytes.size(), "the directory is broken");
    const std::string name(bytes.substr(at + 46, name_bytes));
    check((detail::little(bytes, at + 8, 2) & 1U) == 0, "entry ", in_quotes(name), " is encrypted");
    Entry e{detail::little(bytes, at + 42, 4), detail::little(bytes, at + 20, 4), detail::little(bytes, at + 24, 4),
            static_cast<std::uint32_t>(detail::little(bytes, at + 16, 4)),
            static_cast<std::uint32_t>(detail::little(bytes, at + 10, 2))};
    widen(e, bytes.substr(at + 46 + name_bytes, extra_bytes), name);
    check(entries_.emplace(name, e).second, "entry ", in_quotes(name), " occurs twice");
    return next;
  }
  // 64-bit numbers of an entry, in this order, each only if its field of 32 bits is full.
  void widen(Entry& e, std::string_view extra, const std::string& name) const {
    std::uint64_t* fields[] = {&e.size, &e.packed, &e.offset};
    for (std::size_t at = 0; at + 4 <= extra.size();) {
      const std::size_t bytes = detail::little(extra, at + 2, 2);
      check(bytes <= extra.size() - at - 4, "entry ", in_quotes(name), ": an extra field is broken");
      std::size_t from = at + 4, end = from + bytes;
      for (std::uint64_t* field : fields) {
        if (detail::little(extra, at, 2) != 1 || *field != 0xFFFFFFFF) continue;
        check(end - from >= 8, "entry ", in_quotes(name), ": an extra field is broken");
        *field = detail::little(extra, from, 8);
        from += 8;
      }
      at = end;
    }
  }

  [[nodiscard]] std::string inflated(std::string_view packed, std::uint64_t size, const std::string& name) const {
    std::string out(static_cast<std::size_t>(size), '\0');
    z_stream z{};
    check(inflateInit2(&z, -15) == Z_OK, "out of memory");
    const int code = detail::zip_stream(z, packed, out.data(), out.size(),
                                        [](z_stream& s, bool) { return ::inflate(&s, Z_NO_FLUSH); });
    const bool whole = code == Z_STREAM_END && z.total_out == size && z.total_in == packed.size();
    inflateEnd(&z);
    check(whole, "entry ", in_quotes(name), ": the compressed data are broken");
    return out;
  }

  std::string path_;
  FileHandle file_;
  std::uint64_t size_ = 0, directory_ = 0;
  std::map<std::string, Entry> entries_;
};

/// Writer of an archive, atomically: the file appears when `commit` returns. The same entries in the same order give
/// the same bytes (with one version of zlib). Not thread-safe.
class ZipWriter {
 public:
  /// Throws IoError naming `path`.
  explicit ZipWriter(const std::string& path) : path_(path), file_(path) {}

  /// Adds an entry, deflated if asked and smaller. Throws FormatError for an empty or repeated name, and for more than
  /// 65535 entries or 4 GiB, IoError for a full disk.
  void add(const std::string& name, std::string_view bytes, bool deflate) {
    constexpr std::uint64_t most = 0xFFFFFFFE;
    require<FormatError>(!name.empty() && name.size() <= 65535 && names_.emplace(name, 0).second, "zip file ",
                         in_quotes(path_), ": entry ", in_quotes(name), " has no name, too long a name, or one twice");
    const std::string packed = deflate ? deflated(bytes) : std::string();
    const bool smaller = deflate && packed.size() < bytes.size();
    const std::string_view body = smaller ? std::string_view(packed) : bytes;
    require<FormatError>(names_.size() <= 65534 && bytes.size() <= most && at_ + body.size() + 65600 <= most,
                         "zip file ", in_quotes(path_),
                         ": more than 65534 entries or 4 GiB are not written; use safetensors");
    std::string fields;
    detail::put_little(fields, 20, 2);                            // version needed
    detail::put_little(fields, valid_utf8(name) ? 0x800 : 0, 2);  // names in UTF-8
    detail::put_little(fields, smaller ? Z_DEFLATED : 0, 2);
    detail::put_little(fields, 0x00210000, 4);  // 1980-01-01 00:00
    detail::put_little(fields, ::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()), 4);
    detail::put_little(fields, body.size(), 4);
    detail::put_little(fields, bytes.size(), 4);
    detail::put_little(fields, name.size(), 2);
    detail::put_little(fields, 0, 2);  // extra fields
    std::string head;
    detail::put_little(head, detail::zip_local, 4);
    head += fields + name;
    detail::put_little(directory_, detail::zip_central, 4);
    detail::put_little(directory_, 20, 2);  // version made by
    directory_ += fields;
    detail::put_little(directory_, 0, 6);  // comment, disk, internal attributes
    detail::put_little(directory_, 0, 4);  // external attributes
    detail::put_little(directory_, at_, 4);
    directory_ += name;
    file_.write(head);
    file_.write(body);
    at_ += head.size() + body.size();
  }
  /// Writes the directory and renames. Throws IoError; the old file is then unchanged.
  void commit() {
    std::string end = std::move(directory_);
    const std::size_t bytes = end.size();
    detail::put_little(end, detail::zip_end, 4);
    detail::put_little(end, 0, 4);
    detail::put_little(end, names_.size(), 2);
    detail::put_little(end, names_.size(), 2);
    detail::put_little(end, bytes, 4);
    detail::put_little(end, at_, 4);
    detail::put_little(end, 0, 2);
    file_.write(end);
    file_.commit();
  }

 private:
  [[nodiscard]] std::string deflated(std::string_view bytes) const {
    z_stream z{};
    require<IoError>(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK, "cannot write ",
                     in_quotes(path_), ": out of memory");
    std::string out(bytes.size() + 64, '\0');  // larger results are not used
    const int code = detail::zip_stream(z, bytes, out.data(), out.size(), [](z_stream& s, bool last) {
      return ::deflate(&s, last ? Z_FINISH : Z_NO_FLUSH);
    });
    out.resize(code == Z_STREAM_END ? static_cast<std::size_t>(z.total_out) : bytes.size());
    deflateEnd(&z);
    return out;
  }

  std::string path_, directory_;
  std::uint64_t at_ = 0;
  std::map<std::string, int> names_;
  AtomicFile file_;
};

}  // namespace hypersd::io
