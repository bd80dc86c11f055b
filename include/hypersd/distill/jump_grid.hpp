// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/diffusion/timesteps.hpp>
#include <vector>

namespace hypersd::distill {

/// The jumps of an N-step student on the sampler's trailing grid, and the steps that its teacher takes within each. The
/// teacher stops at the trailing grid of N * stops steps, on which a student of so many steps was trained and sampled.
class JumpGrid {
 public:
  /// Throws OptionError unless 1 <= N, 1 <= stops and N * stops <= T.
  JumpGrid(int train_steps, int jumps, int stops) : jumps_(jumps), stops_(stops) {
    require<OptionError>(jumps >= 1 && stops >= 1 && std::int64_t{jumps} * stops <= train_steps, "jumps: ", jumps,
                         " steps of the student with ", stops, " of the teacher in each do not fit in ", train_steps,
                         " training times");
    times_ = diffusion::trailing(train_steps, jumps * stops);
  }
  [[nodiscard]] int jumps() const { return jumps_; }
  [[nodiscard]] int stops() const { return stops_; }
  /// Time at which the teacher has taken `stop` of its steps in jump n, counted from the noise: time(n, 0) starts the
  /// jump and time(n, stops()) ends it. The last jump ends at 0.
  [[nodiscard]] int time(int n, int stop) const {
    const auto i = static_cast<std::size_t>(n * stops_ + stop);
    return i < times_.size() ? times_[i] : 0;
  }
  /// The same for a list of jumps.
  [[nodiscard]] diffusion::Times times(const std::vector<int>& jumps, int stop) const {
    diffusion::Times out;
    for (const int n : jumps) out.push_back(time(n, stop));
    return out;
  }
  /// The jump that starts at t. Throws OptionError where none does.
  [[nodiscard]] int jump_at(int t) const {
    for (int n = 0; n < jumps_; ++n)
      if (time(n, 0) == t) return n;
    throw OptionError("jumps: none of " + std::to_string(jumps_) + " starts at time " + std::to_string(t));
  }

 private:
  int jumps_, stops_;
  diffusion::Times times_;
};

/// The stages of progressive distillation, falling: N, N / 2, N / 4 ... 1, as `pipeline::StageRunner` takes them.
/// Throws OptionError unless N is a power of 2.
inline std::vector<int> halving(int steps) {
  require<OptionError>(steps >= 1 && (steps & (steps - 1)) == 0, "halving: ", steps, " is not a power of 2");
  std::vector<int> out;
  for (; steps >= 1; steps /= 2) out.push_back(steps);
  return out;
}

}  // namespace hypersd::distill
