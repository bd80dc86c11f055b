// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/distill/jump_grid.hpp>

namespace hypersd::distill {

/// Where the guided teacher takes x [B, ...] from times `start` to the ends of the jumps of `grid` that start then,
/// x <- Psi(x, f_teacher(x, t_i), t_{i+1}) over the stops t_0 ... t_S of each sample's jump. [Hyper-SD Eq. 1]
/// Throws OptionError for a time at which no jump starts.
template <diffusion::DiffusionProcess Process, class Teacher, class T, class D, class C>
Tensor<T, D> walk_jumps(const JumpGrid& grid, const Teacher& teacher, const Process& process, Tensor<T, D> x,
                        const diffusion::Times& start, const diffusion::GuidedCondition<C>& condition,
                        const std::vector<double>& guidance) {
  std::vector<int> jumps;
  for (const diffusion::Time t : start) jumps.push_back(grid.jump_at(t));
  diffusion::Times from = start;
  for (int i = 1; i <= grid.stops(); ++i) {
    const diffusion::Times to = grid.times(jumps, i);
    const auto f = diffusion::predict_guided(process, teacher, x, from, condition, guidance);
    x = diffusion::jump(process, x, f, from, to);
    from = to;
  }
  return x;
}

}  // namespace hypersd::distill
