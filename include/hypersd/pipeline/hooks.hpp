// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::pipeline {

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

/// What a training loop calls besides the step function. Empty functions are skipped. With several processes `log` and
/// `checkpoint` are called on rank 0 alone, the other two on every rank; one that wants to stop stops all.
struct Hooks {
  /// After the optimiser's and the average's update; `step` updates are done.
  std::function<void(std::int64_t step)> after_step;
  /// Every `TrainOptions::log_every` steps, and before each checkpoint.
  std::function<void(const LogRow&)> log;
  /// A checkpoint of `step` updates is in place.
  std::function<void(std::int64_t step)> checkpoint;
  /// Asked after every step: true ends the run after a last checkpoint (an interrupt, an early stop).
  std::function<bool(std::int64_t step)> stop;
};

/// Collects steps into a `LogRow`.
class LogWindow {
 public:
  void add(double loss, double learning_rate, double grad_norm, const Diagnostics& diagnostics) {
    ++count_;
    loss_ += loss;
    norm_ += grad_norm;
    rate_ = learning_rate;
    for (const auto& [name, value] : diagnostics) {
      std::size_t i = 0;
      while (i < sums_.size() && sums_[i].name != name) ++i;
      if (i == sums_.size()) sums_.push_back({name, 0, 0});
      sums_[i].sum += value;
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

}  // namespace hypersd::pipeline
