// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/philox.hpp>
#include <hypersd/diffusion/schedule.hpp>
#include <hypersd/distill/ends.hpp>
#include <vector>

namespace hypersd::distill {

/// What one iteration draws for each sample: where it starts, where the teacher's step and the jumps end, and the
/// guidance scale of the teacher.
struct Draws {
  diffusion::Times t;         ///< t_n
  diffusion::Times previous;  ///< t_{n-1}, where the teacher's step ends
  diffusion::Times end;       ///< t_end <= t_{n-1}
  std::vector<double> guidance;
};

/// Draws of iteration `step` for `batch` samples: n uniform on 1 ... N, t_end uniform on the rule's grid points, the
/// scale uniform on [guidance_min, guidance_max]. A function of (seed, step, sample) alone; the batch
/// begins with sample number `first`. [Hyper-SD Algorithm 1]
template <EndRule Rule>
Draws draw(const Rule& rule, const SolverGrid& grid, std::int64_t batch, double guidance_min, double guidance_max,
           std::uint64_t seed, std::int64_t step, std::int64_t first = 0) {
  require<OptionError>(guidance_min <= guidance_max, "guidance range [", guidance_min, ", ", guidance_max, "]");
  const Stream s = stream(seed, "distill.draw", static_cast<std::uint64_t>(step));
  Draws out;
  for (std::int64_t b = first; b < first + batch; ++b) {
    const auto at = static_cast<std::uint64_t>(4 * b);
    const int n = 1 + static_cast<int>(integer_at(s, at, grid.points()));
    const EndRange ends = rule.range(grid, n);
    const int e = ends.first + static_cast<int>(integer_at(s, at + 1, ends.last - ends.first + 1));
    const int previous = std::max(grid[n - 1], ends.floor);
    out.t.push_back(grid[n]);
    out.previous.push_back(previous);
    out.end.push_back(std::min(std::max(grid[e], ends.floor), previous));
    out.guidance.push_back(guidance_min + (guidance_max - guidance_min) * static_cast<double>(uniform_at(s, at + 2)));
  }
  return out;
}

}  // namespace hypersd::distill
