// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <hypersd/diffusion/process.hpp>
#include <hypersd/distill/segments.hpp>

namespace hypersd::distill {

/// Times on which the teacher's solver steps, from the process's first to its last. On a table g_0 = 0 and
/// g_n = n T / N - 1 for n = 1 ... N: with the default N = 40 the grid holds the ends of 8, 4, 2 and 1 segments and the
/// sampler's trailing grids of as many steps; with N = T the first step has length zero. In continuous time g_n = at(n
/// / N) of the schedule.
class SolverGrid {
  using Time = diffusion::Time;

 public:
  /// N = `points` steps. Throws OptionError unless 1 <= N and, on a table, N divides T.
  template <diffusion::DiffusionProcess Process>
  explicit SolverGrid(const Process& process, int points = 40) {
    if constexpr (Process::discrete) {
      train_steps_ = process.schedule().size();
      require<OptionError>(points >= 1 && train_steps_ >= points && train_steps_ % points == 0, "solver grid: ", points,
                           " points do not divide ", train_steps_, " training times");
    } else {
      require<OptionError>(points >= 1, "solver grid: ", points, " points");
      at_ = [schedule = process.schedule()](double share) { return schedule.at(share); };
    }
    const int stride = train_steps_ / points;
    for (int n = 0; n <= points; ++n)
      times_.push_back(train_steps_ == 0 ? at_(static_cast<double>(n) / points)
                       : n == 0          ? 0
                                         : static_cast<Time>(n * stride - 1));
  }
  /// N.
  [[nodiscard]] int points() const { return static_cast<int>(times_.size()) - 1; }
  /// g_n for n in [0, N].
  [[nodiscard]] Time operator[](int n) const {
    require<OptionError>(n >= 0 && n <= points(), "solver grid: point ", n, " of ", points());
    return times_[static_cast<std::size_t>(n)];
  }
  /// Where the segment of g_n begins: t_b for k segments by `Rule`. [Hyper-SD Eq. 11]
  template <SegmentRule Rule>
  [[nodiscard]] Time segment_start(int n, int k) const {
    if (train_steps_ > 0) return Rule::start(static_cast<int>((*this)[n]), k, train_steps_);
    return at_(static_cast<double>(Rule::segment(n, k, points())) / k);
  }

 private:
  int train_steps_ = 0;               // of a table
  std::function<Time(double)> at_{};  // of a continuous schedule
  std::vector<Time> times_;
};

}  // namespace hypersd::distill
