// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <hypersd/dist/group.hpp>
#include <hypersd/io/metric_log.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

/// \file
/// Loss curves: a row is the mean of several steps, and of the ranks where these differ.

namespace hypersd::records {

/// Named numbers that a training step reports beside its loss.
using Diagnostics = std::vector<std::pair<std::string, double>>;

/// One line of a loss curve: means over the steps since the line before.
struct LogRow {
  std::string phase;
  std::int64_t step = 0;  ///< updates done, counted from 1
  double loss = 0;
  double learning_rate = 0;  ///< of the last step
  double grad_norm = 0;      ///< before clipping
  Diagnostics diagnostics;
};

/// Collects steps into a `LogRow`.
class LogWindow {
 public:
  /// `diagnostics` are pairs of a name and what converts to double.
  template <class Named = Diagnostics>
  void add(double loss, double learning_rate, double grad_norm, const Named& diagnostics) {
    ++count_;
    loss_ += loss;
    norm_ += grad_norm;
    rate_ = learning_rate;
    for (const auto& [name, value] : diagnostics) {
      std::size_t i = 0;
      while (i < sums_.size() && sums_[i].name != name) ++i;
      if (i == sums_.size()) sums_.push_back({name, 0, 0});
      sums_[i].sum += static_cast<double>(value);
      ++sums_[i].count;
    }
  }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  /// The means so far; the window starts afresh.
  LogRow take(const std::string& phase, std::int64_t step) {
    const auto n = static_cast<double>(count_);
    LogRow row{phase, step, loss_ / n, rate_, norm_ / n, {}};
    for (const Sum& s : sums_) row.diagnostics.emplace_back(s.name, s.sum / static_cast<double>(s.count));
    *this = {};
    return row;
  }

 private:
  struct Sum {
    std::string name;
    double sum;
    std::int64_t count;
  };
  std::int64_t count_ = 0;
  double loss_ = 0, norm_ = 0, rate_ = 0;
  std::vector<Sum> sums_;
};

/// `row` with the diagnostics averaged over the ranks that have them: those that rank 0 names, in its order. Loss, rate
/// and norm are the same on all ranks already. All ranks call it.
inline LogRow row_mean(const dist::Group& group, LogRow row) {
  if (group.size() == 1) return row;
  std::string names;
  for (const auto& [name, value] : row.diagnostics) names += name + '\n';
  std::istringstream lines(group.shared(names));
  Diagnostics mean;
  for (std::string name; std::getline(lines, name);) mean.emplace_back(name, 0.0);
  std::vector<double> sums(2 * mean.size());  // values, then how many ranks have one
  for (std::size_t i = 0; i < mean.size(); ++i)
    for (const auto& [name, value] : row.diagnostics)
      if (name == mean[i].first) sums[i] = value, sums[mean.size() + i] = 1;
  group.all_reduce(std::span<double>(sums), dist::Reduce::sum);
  for (std::size_t i = 0; i < mean.size(); ++i) mean[i].second = sums[i] / sums[mean.size() + i];
  row.diagnostics = std::move(mean);
  return row;
}

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

}  // namespace hypersd::records
