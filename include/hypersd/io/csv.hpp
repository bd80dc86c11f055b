// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/core/error.hpp>
#include <hypersd/io/file.hpp>
#include <hypersd/io/text.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// \file
/// Comma-separated values (RFC 4180): quoting, parsing, and append-only files that stay readable after a crash.

namespace hypersd::io {

/// A field as text, in quotes if it contains a comma, a quote or a line break.
inline std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

/// A record with its line end.
inline std::string csv_line(const std::vector<std::string>& fields) {
  std::string out;
  for (std::size_t i = 0; i < fields.size(); ++i) out += (i ? "," : "") + csv_field(fields[i]);
  return out + "\n";
}

/// Reads the record of `text` at `at` and moves `at` behind it. False, with `at` unchanged, at the end of the text and
/// for a last record without line end or with an open quote.
inline bool csv_record(std::string_view text, std::size_t& at, std::vector<std::string>& fields) {
  fields.assign(1, {});
  bool in_quote = false;
  for (std::size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (in_quote) {
      if (c != '"') {
        fields.back() += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        fields.back() += '"';
        ++i;
      } else {
        in_quote = false;
      }
    } else if (c == '"') {
      in_quote = true;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '\n') {
      at = i + 1;
      return true;
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  return false;
}

/// The content of a CSV file: column names and complete records.
struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;

  /// Index of a column. Throws FormatError if it does not exist.
  [[nodiscard]] std::size_t column(std::string_view name) const {
    for (std::size_t i = 0; i < columns.size(); ++i)
      if (columns[i] == name) return i;
    fail<FormatError>("no column ", in_quotes(name));
  }
};

/// Reads a CSV file whose first record names the columns. All records must have the same number of fields. A last line
/// without line end, left by a killed process, is ignored. Throws IoError or FormatError naming `path` and the record.
inline CsvTable read_csv(const std::string& path) {
  const std::string text = read_file(path);
  CsvTable out;
  std::size_t at = 0;
  require<FormatError>(csv_record(text, at, out.columns), "CSV file ", in_quotes(path), " has no header line");
  std::vector<std::string> fields;
  while (csv_record(text, at, fields)) {
    require<FormatError>(fields.size() == out.columns.size(), "CSV file ", in_quotes(path), ": record ",
                         out.rows.size() + 1, " has ", fields.size(), " fields instead of ", out.columns.size());
    out.rows.push_back(fields);
  }
  return out;
}

/// A text file to which whole lines are appended, with one system call each.
class AppendFile {
 public:
  AppendFile() = default;
  /// Opens or creates `path` and truncates it to its first `keep` bytes. Throws IoError naming it, also for links and
  /// files that are not regular.
  AppendFile(std::string path, std::uint64_t keep)
      : path_(std::move(path)), file_(open_for_writing(path_, O_CREAT | O_APPEND)) {
    if (file_size(file_, path_) > keep && ::ftruncate(file_.get(), static_cast<off_t>(keep)) != 0)
      fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
  }
  /// Throws IoError naming the file and the reason, e.g. a full disk.
  void append(std::string_view text) { write_all(file_, text.data(), text.size(), path_); }
  /// Flushes to the disk.
  void sync() {
    if (::fsync(file_.get()) != 0 && errno != EINVAL)
      fail<IoError>("cannot write ", in_quotes(path_), ": ", system_reason(errno));
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  FileHandle file_;
};

}  // namespace hypersd::io
