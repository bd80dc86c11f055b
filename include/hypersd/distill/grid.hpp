// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/error.hpp>

namespace hypersd::distill {

/// Times on which the teacher's solver steps: g_0 = 0 and g_n = n T / N - 1 for n = 1 ... N. With the default N = 40
/// the grid holds the ends of 8, 4, 2 and 1 segments and the sampler's trailing grids of as many steps.
class SolverGrid {
 public:
  /// `train_steps` = T times in `points` = N steps. Throws OptionError unless 1 <= N and N divides T.
  explicit SolverGrid(int train_steps = 1000, int points = 40) : train_steps_(train_steps), points_(points) {
    require<OptionError>(points >= 1 && train_steps >= points && train_steps % points == 0, "solver grid: ", points,
                         " points do not divide ", train_steps, " training times");
  }
  [[nodiscard]] int train_steps() const { return train_steps_; }
  [[nodiscard]] int points() const { return points_; }
  [[nodiscard]] int skip() const { return train_steps_ / points_; }
  /// g_n for n in [0, N].
  [[nodiscard]] int operator[](int n) const {
    require<OptionError>(n >= 0 && n <= points_, "solver grid: point ", n, " of ", points_);
    return n == 0 ? 0 : n * skip() - 1;
  }

 private:
  int train_steps_, points_;
};

}  // namespace hypersd::distill
