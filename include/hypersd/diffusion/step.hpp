// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <hypersd/diffusion/process.hpp>
#include <optional>
#include <vector>

namespace hypersd::diffusion {

/// How many tensors a solver may remember from one evaluation to the next.
inline constexpr std::size_t kMemories = 3;

/// One solver update: x_next = x * x_t + prediction * f(x_t, t) + noise * z + sum_i memory[i] * m_i, z standard normal,
/// m_i what earlier evaluations have remembered (none for solvers of one evaluation).
struct StepCoefficients {
  double x = 1, prediction = 0, noise = 0;
  std::array<double, kMemories> memory{};
};

/// One step: from time `from` to time `to` <= `from` (equal: nothing to do); `last` is the final one.
struct StepTimes {
  Time from = 0, to = 0;
  bool last = false;
};

/// One call of the network at `time` and the update made with its answer. `remember` are the new memories, m_0 first,
/// each a combination of x_t, f and the old memories, all from before the update; they replace the old ones. A network
/// with a second time is told `jump_end`; without one, `time`, where it makes the process's own prediction.
struct Evaluation {
  Time time = 0;
  StepCoefficients update{};
  std::vector<StepCoefficients> remember{};
  std::optional<Time> jump_end{};
};

/// An update in x and the prediction alone.
inline StepCoefficients step_of(const Form& f) { return {f.x, f.prediction}; }

}  // namespace hypersd::diffusion
