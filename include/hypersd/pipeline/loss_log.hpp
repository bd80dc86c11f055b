// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <hypersd/io/file.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace hypersd::pipeline {

/// A loss curve as CSV: `step,loss,learning_rate,grad_norm` and a column for each diagnostic of the first row.
/// No times in it, so that equal runs have equal files.
class LossLog {
 public:
  /// Starts a new file with the first row, or, with `keep_until` > 0 (the step of the checkpoint that a run resumes
  /// from), keeps the rows of an existing one up to that step. Throws IoError, and FormatError for a file that is no
  /// loss log.
  explicit LossLog(std::string path, std::int64_t keep_until = 0) : path_(std::move(path)) {
    std::error_code ignored;
    std::string kept;
    if (keep_until > 0 && std::filesystem::exists(path_, ignored)) kept = rows_until(io::read_file(path_), keep_until);
    io::atomic_write(path_, kept);
  }

  /// Appends a row. A diagnostic that has no column yet is an OptionError; one that is absent leaves its field empty.
  void add(const LogRow& row) {
    std::string text;
    if (header_.empty()) {
      header_ = {"step", "loss", "learning_rate", "grad_norm"};
      for (const auto& [name, value] : row.diagnostics) {
        require<OptionError>(name.find_first_of(",\"\r\n") == std::string::npos, "loss log: diagnostic ",
                             io::in_quotes(name), " cannot be the name of a column");
        header_.push_back(name);
      }
      for (std::size_t i = 0; i < header_.size(); ++i) text += (i ? "," : "") + header_[i];
      text += "\n";
    }
    std::vector<std::string> fields(header_.size());
    fields[0] = std::to_string(row.step);
    fields[1] = io::number(row.loss);
    fields[2] = io::number(row.learning_rate);
    fields[3] = io::number(row.grad_norm);
    for (const auto& [name, value] : row.diagnostics) {
      const auto column = std::find(header_.begin() + 4, header_.end(), name);
      require<OptionError>(column != header_.end(), "loss log ", io::in_quotes(path_), " has no column ",
                           io::in_quotes(name));
      fields[static_cast<std::size_t>(column - header_.begin())] = io::number(value);
    }
    for (std::size_t i = 0; i < fields.size(); ++i) text += (i ? "," : "") + fields[i];
    text += "\n";
    const io::FileHandle file(::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
    if (!file.open()) fail<IoError>("cannot write ", io::in_quotes(path_), ": ", io::system_reason(errno));
    io::write_all(file, text.data(), text.size(), path_);
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  static std::vector<std::string> split(std::string_view line) {
    std::vector<std::string> out;
    for (;;) {
      const std::size_t comma = line.find(',');
      out.emplace_back(line.substr(0, comma));
      if (comma == std::string_view::npos) return out;
      line.remove_prefix(comma + 1);
    }
  }
  // A row that a kill cut short has no line end and goes; so do rows after the checkpoint.
  std::string rows_until(std::string_view text, std::int64_t last) {
    std::string kept;
    for (std::size_t line_number = 1;; ++line_number) {
      const std::size_t end = text.find('\n');
      if (end == std::string_view::npos) return kept;
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(end + 1);
      if (header_.empty()) {
        header_ = split(line);
        const bool ours = header_.size() >= 4 && header_[0] == "step" && header_[1] == "loss" &&
                          header_[2] == "learning_rate" && header_[3] == "grad_norm";
        require<FormatError>(ours, "file ", io::in_quotes(path_), " is not a loss log");
      } else {
        std::int64_t step = 0;
        const auto result = std::from_chars(line.data(), line.data() + line.size(), step);
        require<FormatError>(result.ec == std::errc() && *result.ptr == ',', "loss log ", io::in_quotes(path_),
                             ", line ", line_number, ": no step number");
        if (step > last) return kept;
      }
      kept.append(line).append("\n");
    }
  }

  std::string path_;
  std::vector<std::string> header_;
};

}  // namespace hypersd::pipeline
