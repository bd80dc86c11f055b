// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/solvers/euler.hpp>

namespace hypersd::diffusion {

/// Heun's second-order method on the ODE of `Euler` (Karras et al., Algorithm 1): an Euler step, then the mean of the
/// slopes at both ends, y' = y + (s' - s) (epshat(y, s) + epshat(y_euler, s')) / 2. Two evaluations a step; one, and
/// Euler's step, where the slope at an end is not defined: to clean data, and from zero terminal SNR.
struct Heun {
  struct Options {};
  static constexpr const char* name = "heun";
  static constexpr bool stochastic = false;
  Options options{};

  template <Prediction P>
  [[nodiscard]] std::vector<Evaluation> evaluations(const NoiseTable& table, StepTimes t, const StepTimes*) const {
    const Form euler = Euler::form<P>(table, t.from, t.to);
    Evaluation predictor{t.from, {euler.x, euler.prediction, 0}, {}};
    const Level a = table.level(t.from), b = table.level(t.to);
    if (t.from == t.to || b.sigma == 0 || a.alpha == 0) return {predictor};
    // What remains of y and of the first slope waits in memory; the second evaluation adds its own half.
    const double half = 0.5 * b.alpha * (b.sigma / b.alpha - a.sigma / a.alpha);
    const Form first = P::eps(a), second = P::eps(b);
    predictor.remember = Form{b.alpha / a.alpha + half * first.x, half * first.prediction};
    return {predictor, {t.to, {half * second.x, half * second.prediction, 0, 1}, {}}};
  }
};
static_assert(MemorySolver<Heun> && DeterministicSolver<Heun>);

}  // namespace hypersd::diffusion
