// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// Pseudo linear multistep (Liu et al., "Pseudo numerical methods for diffusion models on manifolds", Eq 12): the DDIM
/// jump with a prediction extrapolated by Adams and Bashforth from the last four. The first step has two evaluations,
/// as in the solver that Stable Diffusion 1.x was published with (PLMS): a jump, then the same jump again with the mean
/// of the predictions at both of its ends. The second and third step extrapolate from two and three predictions.
struct Pndm {
  struct Options {};
  static constexpr const char* name = "pndm";
  static constexpr bool stochastic = false;
  Options options{};

  /// Memories: earlier predictions, the latest first; during the first step its prediction and its sample.
  template <DiffusionProcess Process>
  [[nodiscard]] std::vector<Evaluation> evaluations(const Process& process, StepTimes t,
                                                    std::span<const StepTimes> before) const {
    const Form jump = process.jump(t.from, t.to);
    if (before.empty()) {
      Evaluation first{t.from, step_of(jump), {}};
      if (t.last) return {first};
      first.remember = {{0, 1}, {1, 0}};
      const double half = 0.5 * jump.prediction;
      return {first, {t.to, {0, half, 0, {{half, jump.x}}}, {kept(0)}}};
    }
    static constexpr double weights[3][4] = {
        {3. / 2, -1. / 2}, {23. / 12, -16. / 12, 5. / 12}, {55. / 24, -59. / 24, 37. / 24, -9. / 24}};
    const std::size_t known = std::min<std::size_t>(before.size(), 3);
    const double* w = weights[known - 1];
    Evaluation e{t.from, {jump.x, w[0] * jump.prediction}, {{0, 1}}};
    for (std::size_t i = 0; i < known; ++i) e.update.memory[i] = w[i + 1] * jump.prediction;
    for (std::size_t i = 0; i < known && i < 2; ++i) e.remember.push_back(kept(i));
    return {e};
  }

 private:
  static StepCoefficients kept(std::size_t i) {
    StepCoefficients c{0};
    c.memory[i] = 1;
    return c;
  }
};
static_assert(MemorySolver<Pndm> && DeterministicSolver<Pndm>);

}  // namespace hypersd::diffusion
