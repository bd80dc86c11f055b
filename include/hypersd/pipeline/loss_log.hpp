// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <filesystem>
#include <hypersd/io/metric_log.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::pipeline {

/// A loss curve as `NAME.csv` and `NAME.jsonl`: `step,loss,learning_rate,grad_norm` and a column for each diagnostic
/// of the first row. No times in it, so that equal runs have equal files.
class LossLog {
 public:
  /// Starts anew, or, with `keep_until` > 0 (the step of the checkpoint that a run resumes from), keeps the rows of an
  /// earlier run up to that step. Throws IoError, and FormatError for a file that is no loss log.
  explicit LossLog(std::string name, std::int64_t keep_until = 0) : name_(std::move(name)) {
    const std::vector<std::string> columns = keep_until > 0 ? columns_there() : std::vector<std::string>{};
    if (!columns.empty()) {
      log_.emplace(name_, columns, io::MetricLog::up_to("step", keep_until));
    } else {
      ::unlink((name_ + ".csv").c_str());  // an old curve must not be taken for this run's
      ::unlink((name_ + ".jsonl").c_str());
    }
  }

  /// Appends a row. A diagnostic that has no column yet is an OptionError; one that is absent leaves its field empty.
  void add(const LogRow& row) {
    if (!log_) {
      std::vector<std::string> columns = fixed_columns();
      for (const auto& [name, value] : row.diagnostics) columns.push_back(name);
      log_.emplace(name_, columns);
    }
    io::MetricRow fields{
        {"step", row.step}, {"loss", row.loss}, {"learning_rate", row.learning_rate}, {"grad_norm", row.grad_norm}};
    for (const auto& [name, value] : row.diagnostics) fields.emplace_back(name, value);
    log_->append(fields);
  }
  /// Waits until the disk has all rows.
  void sync() {
    if (log_) log_->sync();
  }

 private:
  static std::vector<std::string> fixed_columns() { return {"step", "loss", "learning_rate", "grad_norm"}; }
  // Empty if there is no file, or only a header that a kill cut short.
  [[nodiscard]] std::vector<std::string> columns_there() const {
    const std::string path = name_ + ".csv";
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return {};
    std::vector<std::string> columns;
    std::size_t at = 0;
    if (!io::csv_record(io::read_file(path), at, columns)) return {};
    const auto fixed = fixed_columns();
    const bool ours = columns.size() >= fixed.size() && std::equal(fixed.begin(), fixed.end(), columns.begin());
    require<FormatError>(ours, "file ", io::in_quotes(path), " is not a loss log");
    return columns;
  }

  std::string name_;
  std::optional<io::MetricLog> log_;
};

}  // namespace hypersd::pipeline
