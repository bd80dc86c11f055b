// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/philox.hpp>
#include <hypersd/distill/ends.hpp>
#include <hypersd/distill/jump_grid.hpp>
#include <vector>

namespace hypersd::distill {

/// Number `at` of stream s as a uniform one between `min` and `max`: a teacher's guidance scale.
inline double uniform_between(double min, double max, Stream s, std::uint64_t at) {
  return min + (max - min) * static_cast<double>(uniform_at(s, at));
}

/// Throws OptionError for scales of the teacher's guidance of which the lower is above the upper.
inline void require_guidance_range(double min, double max) {
  require<OptionError>(min <= max, "guidance range [", min, ", ", max, "]");
}

/// What one iteration draws for each sample: where it starts, where the teacher's step and the jumps end, and the
/// guidance scale of the teacher.
struct Draws {
  diffusion::Times t;         ///< t_n
  diffusion::Times previous;  ///< t_{n-1}, where the teacher's step ends
  diffusion::Times end;       ///< t_end <= t_{n-1}
  std::vector<double> guidance;
};

/// A uniform one of the times at which a jump may end: number `at` of stream s.
inline diffusion::Time draw_end(const SolverGrid& grid, const EndRange& ends, Stream s, std::uint64_t at) {
  const int e = ends.first + static_cast<int>(integer_at(s, at, ends.last - ends.first + 1));
  return std::max(grid[e], ends.floor);
}

/// Draws of iteration `step` for `batch` samples: n uniform on 1 ... N, t_end uniform on the rule's grid points, the
/// scale uniform on [guidance_min, guidance_max]. A function of (seed, step, sample) alone; the batch
/// begins with sample number `first`. [Hyper-SD Algorithm 1]
template <EndRule Rule>
Draws draw(const Rule& rule, const SolverGrid& grid, std::int64_t batch, double guidance_min, double guidance_max,
           std::uint64_t seed, std::int64_t step, std::int64_t first = 0) {
  require_guidance_range(guidance_min, guidance_max);
  const Stream s = stream(seed, "distill.draw", static_cast<std::uint64_t>(step));
  Draws out;
  for (std::int64_t b = first; b < first + batch; ++b) {
    const auto at = static_cast<std::uint64_t>(4 * b);
    const int n = 1 + static_cast<int>(integer_at(s, at, grid.points()));
    const EndRange ends = rule.range(grid, n);
    const diffusion::Time previous = std::max(grid[n - 1], ends.floor);
    out.t.push_back(grid[n]);
    out.previous.push_back(previous);
    out.end.push_back(std::min(draw_end(grid, ends, s, at + 1), previous));
    out.guidance.push_back(uniform_between(guidance_min, guidance_max, s, at + 2));
  }
  return out;
}

/// What one iteration draws for each sample of a student that jumps on a `JumpGrid`.
struct JumpDraws {
  std::vector<int> jumps;  ///< counted from the noise
  std::vector<double> guidance;
};

/// Uniform jumps of `grid` for `batch` samples, and scales uniform on [guidance_min, guidance_max]. A function of
/// (s, sample) alone; the batch begins with sample number `first`.
inline JumpDraws draw_jumps(const JumpGrid& grid, std::int64_t batch, double guidance_min, double guidance_max,
                            Stream s, std::int64_t first = 0) {
  JumpDraws out;
  for (std::int64_t b = first; b < first + batch; ++b) {
    const auto at = static_cast<std::uint64_t>(2 * b);
    out.jumps.push_back(static_cast<int>(integer_at(s, at, grid.jumps())));
    out.guidance.push_back(uniform_between(guidance_min, guidance_max, s, at + 1));
  }
  return out;
}

}  // namespace hypersd::distill
