// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <hypersd/core/error.hpp>
#include <hypersd/io/csv.hpp>
#include <hypersd/io/text.hpp>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace hypersd::io {

/// A number or a text in a metric log.
class MetricValue {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> MetricValue(
      T x) {  // NOLINT(google-explicit-constructor): a row reads {{"step", 1}, {"phase", "teacher"}}
    if constexpr (std::is_integral_v<T>) {
      csv_ = json_ = std::to_string(x);
    } else {
      csv_ = number(static_cast<double>(x));
      json_ = std::isfinite(x) ? csv_ : "null";
    }
  }
  MetricValue(std::string_view text) : csv_(text), json_(json_string(text)) {}   // NOLINT(google-explicit-constructor)
  MetricValue(const std::string& text) : MetricValue(std::string_view(text)) {}  // NOLINT(google-explicit-constructor)
  MetricValue(const char* text) : MetricValue(std::string_view(text)) {}         // NOLINT(google-explicit-constructor)

  [[nodiscard]] const std::string& csv() const { return csv_; }
  [[nodiscard]] const std::string& json() const { return json_; }

 private:
  std::string csv_, json_;
};

/// One row: column names with values. Columns left out are empty.
using MetricRow = std::vector<std::pair<std::string, MetricValue>>;

/// A row read back from the file when a run resumes.
class LoggedRow {
 public:
  LoggedRow(const std::vector<std::string>& columns, const std::vector<std::string>& fields)
      : columns_(&columns), fields_(&fields) {}
  /// The text of a column, empty if there is none.
  [[nodiscard]] std::string text(std::string_view column) const {
    for (std::size_t i = 0; i < columns_->size(); ++i)
      if ((*columns_)[i] == column) return (*fields_)[i];
    return {};
  }
  /// The integer in a column, or `fallback` if it holds none.
  [[nodiscard]] std::int64_t integer(std::string_view column, std::int64_t fallback = 0) const {
    const std::string value = text(column);
    std::int64_t out = 0;
    const auto result = std::from_chars(value.data(), value.data() + value.size(), out);
    return result.ec == std::errc() && result.ptr == value.data() + value.size() ? out : fallback;
  }

 private:
  const std::vector<std::string>* columns_;
  const std::vector<std::string>* fields_;
};

/// The curves of a run, as `NAME.csv` for tables and `NAME.jsonl` for programs (one object a line, NaN as null). Each
/// row is with the operating system when `append` returns, so a killed process loses no row.
class MetricLog {
 public:
  /// Which rows of an earlier run to keep.
  using Keep = std::function<bool(const LoggedRow&)>;

  /// Creates both files or overwrites them. Throws IoError, or OptionError for empty or repeated columns.
  MetricLog(const std::string& name, std::vector<std::string> columns) : columns_(std::move(columns)) {
    check_columns();
    csv_ = AppendFile(name + ".csv", 0);
    json_ = AppendFile(name + ".jsonl", 0);
    csv_.append(csv_line(columns_));
  }
  /// Continues the files of an earlier run: removes the first row that `keep` rejects, all rows after it and an
  /// incomplete last line. Creates missing files. Throws FormatError if the file has other columns.
  MetricLog(const std::string& name, std::vector<std::string> columns, const Keep& keep)
      : columns_(std::move(columns)) {
    check_columns();
    const auto exists = [](const std::string& path) { return ::access(path.c_str(), F_OK) == 0; };
    const std::string path = name + ".csv";
    const std::string text = exists(path) ? read_file(path) : std::string();
    std::size_t at = 0, kept = 0;
    std::vector<std::string> fields;
    if (csv_record(text, at, fields)) {
      require<FormatError>(fields == columns_, "CSV file ", in_quotes(path), " has other columns than this run");
      for (std::size_t end = at; csv_record(text, end, fields); at = end, ++kept)
        if (fields.size() != columns_.size() || !keep(LoggedRow(columns_, fields))) break;
    }
    csv_ = AppendFile(path, at);
    if (at == 0) csv_.append(csv_line(columns_));
    const std::string lines = exists(name + ".jsonl") ? read_file(name + ".jsonl") : std::string();
    std::size_t json_end = 0;
    for (std::size_t i = 0; i < kept; ++i) {
      const std::size_t next = lines.find('\n', json_end);
      require<FormatError>(next != std::string::npos, "file ", in_quotes(name + ".jsonl"), " has fewer rows than ",
                           in_quotes(path));
      json_end = next + 1;
    }
    json_ = AppendFile(name + ".jsonl", json_end);
  }
  /// Keeps the rows whose integer `column` is at most `last`.
  static Keep up_to(std::string column, std::int64_t last) {
    return [column = std::move(column), last](const LoggedRow& row) { return row.integer(column, last) <= last; };
  }

  /// Adds a row to both files. Throws OptionError for a column that is unknown or given twice, IoError for a full disk.
  void append(const MetricRow& row) {
    std::vector<std::string> fields(columns_.size());
    std::set<std::string> given;
    std::string object = "{";
    for (const auto& [column, value] : row) {
      std::size_t i = 0;
      while (i < columns_.size() && columns_[i] != column) ++i;
      require<OptionError>(i < columns_.size(), "metric log ", in_quotes(csv_.path()), " has no column ",
                           in_quotes(column));
      require<OptionError>(given.insert(column).second, "metric log: column ", in_quotes(column), " is given twice");
      fields[i] = value.csv();
      object += (object.size() > 1 ? ", " : "") + json_string(column) + ": " + value.json();
    }
    json_.append(object + "}\n");  // first, so that it never has fewer rows than the table
    csv_.append(csv_line(fields));
  }
  /// Flushes both files to the disk. Call it with each checkpoint.
  void sync() {
    json_.sync();
    csv_.sync();
  }
  [[nodiscard]] const std::vector<std::string>& columns() const { return columns_; }

 private:
  void check_columns() const {
    require<OptionError>(!columns_.empty(), "a metric log needs a column");
    std::set<std::string> seen;
    for (const std::string& c : columns_)
      require<OptionError>(!c.empty() && seen.insert(c).second, "metric log: column ", in_quotes(c),
                           " is empty or repeated");
  }

  std::vector<std::string> columns_;
  AppendFile csv_, json_;
};

}  // namespace hypersd::io
