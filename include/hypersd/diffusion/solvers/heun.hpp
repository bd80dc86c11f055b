// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solvers/euler.hpp>

namespace hypersd::diffusion {

/// Heun's second-order method on the ODE of `Euler` (Karras et al., Algorithm 1): an Euler step, then the mean of the
/// slopes at both ends, y' = y + (s' - s) (epshat(y, s) + epshat(y_euler, s')) / 2. Where alpha and sigma are affine in
/// time (a rectified flow, EDM) the ODE is dx/dt = v itself, whose slope is finite at both ends. Two evaluations a
/// step; one, and Euler's step, where the slope at an end is not defined: to clean data, and from zero terminal SNR.
struct Heun {
  struct Options {};
  static constexpr const char* name = "heun";
  static constexpr bool stochastic = false;
  Options options{};

  template <DiffusionProcess Process>
  [[nodiscard]] std::vector<Evaluation> evaluations(const Process& process, StepTimes t,
                                                    std::span<const StepTimes>) const {
    const Form euler = Process::straight ? process.jump(t.from, t.to) : Euler::form(process, t.from, t.to);
    Evaluation predictor{t.from, step_of(euler), {}};
    const Level a = process.level(t.from), b = process.level(t.to);
    if (t.from == t.to || b.sigma == 0 || (a.alpha == 0 && !Process::straight)) return {predictor};
    // What remains of y and of the first slope waits in memory; the second evaluation adds its own half.
    double half = 0, kept = 1;
    Form first, second;
    if constexpr (Process::straight) {
      half = 0.5 * (t.to - t.from);
      first = process.velocity(t.from), second = process.velocity(t.to);
    } else {
      half = 0.5 * b.alpha * (b.sigma / b.alpha - a.sigma / a.alpha), kept = b.alpha / a.alpha;
      first = process.eps(t.from), second = process.eps(t.to);
    }
    predictor.remember = {{kept + half * first.x, half * first.prediction}};
    return {predictor, {t.to, {half * second.x, half * second.prediction, 0, {{1}}}, {}}};
  }
};
static_assert(MemorySolver<Heun> && DeterministicSolver<Heun>);

}  // namespace hypersd::diffusion
