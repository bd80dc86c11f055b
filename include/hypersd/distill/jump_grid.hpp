// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/process.hpp>
#include <limits>
#include <vector>

namespace hypersd::distill {

/// The jumps of an N-step student on the process's grid (the trailing one on a table), and the steps that its teacher
/// takes within each. The teacher stops at the grid of N * stops steps, on which a student of so many steps was trained
/// and sampled.
class JumpGrid {
 public:
  /// Throws OptionError unless 1 <= N, 1 <= stops and, on a table, N * stops <= T.
  template <diffusion::DiffusionProcess Process>
  JumpGrid(const Process& process, int jumps, int stops) : jumps_(jumps), stops_(stops), end_(process.first()) {
    int most = std::numeric_limits<int>::max();
    if constexpr (Process::discrete) most = process.schedule().size();
    require<OptionError>(jumps >= 1 && stops >= 1 && std::int64_t{jumps} * stops <= most, "jumps: ", jumps,
                         " steps of the student with ", stops, " of the teacher in each do not fit in ", most,
                         " training times");
    times_ = process.grid(jumps * stops);
  }
  [[nodiscard]] int jumps() const { return jumps_; }
  [[nodiscard]] int stops() const { return stops_; }
  /// Time at which the teacher has taken `stop` of its steps in jump n, counted from the noise: time(n, 0) starts the
  /// jump and time(n, stops()) ends it. The last jump ends at the process's first time.
  [[nodiscard]] diffusion::Time time(int n, int stop) const {
    const auto i = static_cast<std::size_t>(n) * static_cast<std::size_t>(stops_) + static_cast<std::size_t>(stop);
    return i < times_.size() ? times_[i] : end_;
  }
  /// The same for a list of jumps.
  [[nodiscard]] diffusion::Times times(const std::vector<int>& jumps, int stop) const {
    diffusion::Times out;
    for (const int n : jumps) out.push_back(time(n, stop));
    return out;
  }
  /// The jump that starts at t. Throws OptionError where none does.
  [[nodiscard]] int jump_at(diffusion::Time t) const {
    for (int n = 0; n < jumps_; ++n)
      if (time(n, 0) == t) return n;
    fail<OptionError>("jumps: none of ", jumps_, " starts at time ", t);
  }

 private:
  int jumps_, stops_;
  diffusion::Time end_;
  diffusion::Times times_;
};

/// The stages of progressive distillation, falling: N, N / 2, N / 4 ... 1, as `pipeline::staged` takes them.
/// Throws OptionError unless N is a power of 2.
inline std::vector<int> halving(int steps) {
  require<OptionError>(steps >= 1 && (steps & (steps - 1)) == 0, "halving: ", steps, " is not a power of 2");
  std::vector<int> out;
  for (; steps >= 1; steps /= 2) out.push_back(steps);
  return out;
}

}  // namespace hypersd::distill
