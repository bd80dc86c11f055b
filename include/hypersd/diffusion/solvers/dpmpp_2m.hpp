// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// DPM-Solver++(2M) (Lu et al., "DPM-Solver++", Algorithm 2), the second-order multistep method in the data prediction:
/// with lambda = ln(alpha / sigma), h = lambda' - lambda and r = h_before / h,
///   x' = (sigma' / sigma) x - alpha' (e^-h - 1) ((1 + 1 / 2r) x0hat - 1 / 2r x0hat_before).
/// One evaluation a step; x0hat_before is remembered. First order (DDIM) on the first step, before which nothing
/// is remembered, and on the last and to clean data, where h is large or infinite.
struct DpmPp2M {
  struct Options {};
  static constexpr const char* name = "dpmpp_2m";
  static constexpr bool stochastic = false;
  Options options{};

  template <DiffusionProcess Process>
  [[nodiscard]] std::vector<Evaluation> evaluations(const Process& process, StepTimes t,
                                                    std::span<const StepTimes> before) const {
    const Level from = process.level(t.from), to = process.level(t.to);
    const Form x0 = process.x0(t.from);
    const double lambda = log_snr(from), h = log_snr(to) - lambda;
    // 1 / 2r; the step before is infinitely long from zero terminal SNR, and then its prediction has no weight.
    double half_ratio = 0;
    const bool second = !before.empty() && !t.last && t.from != t.to && to.sigma > 0;
    if (second) half_ratio = 0.5 * h / (lambda - process.lambda(before.back().from));
    const double weight = t.from == t.to ? 0 : -to.alpha * std::expm1(-h), now = weight * (1 + half_ratio);
    const double keep = t.from == t.to ? 1 : to.sigma / from.sigma;
    Evaluation e{t.from, {keep + now * x0.x, now * x0.prediction, 0, {{-weight * half_ratio}}}, {}};
    if (!t.last) e.remember = {step_of(x0)};
    return {e};
  }
};
static_assert(MemorySolver<DpmPp2M> && DeterministicSolver<DpmPp2M>);

}  // namespace hypersd::diffusion
