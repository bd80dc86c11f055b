// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <hypersd/distill/one_step.hpp>
#include <hypersd/distill/plan.hpp>
#include <utility>
#include <vector>

/// \file
/// Backward simulation (Yin et al., "Improved distribution matching distillation", Section 4.5): a student of several
/// steps is trained where sampling takes it, and not on noised data. From noise at the highest start time it makes
/// clean data, noises them to the next one, and so on, down to the time where the sample's evaluation begins.

namespace hypersd::distill {

/// The different times of a list, from the highest down.
inline diffusion::Times descending(diffusion::Times times) {
  std::sort(times.begin(), times.end(), std::greater<>{});
  times.erase(std::unique(times.begin(), times.end()), times.end());
  return times;
}

/// The steps of a simulation through `times`, for samples that begin at `start`, each one of the times. `noise` has the
/// noise [B, ...] of each step, one less than there are different times. Throws OptionError for another number.
template <diffusion::DiffusionProcess Process, class T, class D>
std::vector<SamplePlan<T, D>> simulation_plan(const Process& process, const diffusion::Times& times,
                                              const diffusion::Times& start, std::vector<Tensor<T, D>> noise) {
  const diffusion::Times path = descending(times);
  require<OptionError>(noise.size() + 1 == path.size(), "backward simulation: noise for ", noise.size(),
                       " steps through ", path.size(), " start times");
  std::vector<SamplePlan<T, D>> out;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    const diffusion::Form x0 = process.x0(path[i]);
    const diffusion::Level l = process.level(path[i + 1]);
    out.push_back(sample_plan(std::move(noise[i]), [&](std::size_t b) {
      const bool moves = start[b] <= path[i + 1];
      return std::array{process.network_time(path[i]),
                        process.input_scale(path[i]),
                        moves ? l.alpha * x0.x : 1.0,
                        moves ? l.alpha * x0.prediction : 0.0,
                        1.0,
                        moves ? l.sigma : 0.0};
    }));
  }
  return out;
}

/// Where the steps of `plan` take samples x [B, ...] that are noise at the highest time, each to its start. Without
/// gradient; the student runs for the whole batch in every step.
template <diffusion::DiffusionProcess Process, class Student, class T, class D, class C>
Tensor<T, D> simulate(const Process& process, const Student& student, Tensor<T, D> x,
                      const std::vector<SamplePlan<T, D>>& plan, const C& condition) {
  for (const auto& step : plan) {
    const auto f = diffusion::predict(process, student, x, step.template times<Process>(0), condition);
    x = diffusion::combine(step.form(4), diffusion::combine(step.form(2), x, f), step.noise);
  }
  return x;
}

}  // namespace hypersd::distill
