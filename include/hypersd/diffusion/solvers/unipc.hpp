// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// UniPC of order 2 with B_2(h) = e^h - 1, in the data prediction (Zhao et al., "UniPC: A unified predictor-corrector
/// framework for fast sampling of diffusion models", Algorithms 5 and 6): each evaluation first corrects the sample
/// that the step before has predicted, then predicts the next one. With lambda = ln(alpha / sigma), m_0 = x0hat at s,
/// m_1 one step before it, h = lambda_t - lambda_s and r = (lambda_before - lambda_s) / h < 0,
///   x_t = (sigma_t / sigma_s) x_s - alpha_t phi_1 (m_0 + D),  phi_1 = e^-h - 1,
///   predictor: D = (m_1 - m_0) / 2r,                           which is DPM-Solver++(2M);
///   corrector: D = rho_1 (m_1 - m_0) / r + rho_2 (m_t - m_0),  m_t = x0hat of the predicted sample,
///   rho_1 + rho_2 = b_1,  r rho_1 + rho_2 = b_2,
///   b_1 = (phi_1 / -h - 1) / phi_1,  b_2 = 2 (b_1 / -h - 1 / (2 phi_1)).
/// One evaluation a step. Both are of first order, D = 0 and D = (m_t - m_0) / 2, where one step is known, and the
/// predictor on the last step and to clean data.
struct UniPc {
  struct Options {};
  static constexpr const char* name = "unipc";
  static constexpr bool stochastic = false;
  Options options{};

  /// Memories: m_0 and m_1 of the step before, and its corrected sample.
  template <DiffusionProcess Process>
  [[nodiscard]] std::vector<Evaluation> evaluations(const Process& process, StepTimes t,
                                                    std::span<const StepTimes> before) const {
    if (t.from == t.to) return {{t.from, {}, {}}};
    const Level at = process.level(t.from), to = process.level(t.to);
    const Form x0 = process.x0(t.from);
    const StepCoefficients corrected = before.empty() ? StepCoefficients{} : correct(process, at, x0, before);
    const double lambda = log_snr(at), h = log_snr(to) - lambda, weight = -to.alpha * std::expm1(-h);
    double half = 0;  // 1 / 2r; 0 where the step before began at pure noise
    if (!before.empty() && !t.last && to.sigma > 0) half = 0.5 * h / (process.lambda(before.back().from) - lambda);
    StepCoefficients update = scaled(corrected, to.sigma / at.sigma);
    update.x += weight * (1 - half) * x0.x;
    update.prediction += weight * (1 - half) * x0.prediction;
    update.memory[0] += weight * half;
    Evaluation e{t.from, update, {}};
    if (!t.last) {
      StepCoefficients older{0};
      older.memory[0] = before.empty() ? 0 : 1;
      e.remember = {step_of(x0), older, corrected};
    }
    return {e};
  }

 private:
  static StepCoefficients scaled(StepCoefficients c, double by) {
    c.x *= by;
    c.prediction *= by;
    for (double& m : c.memory) m *= by;
    return c;
  }

  /// The sample at level `at` as the corrector gives it, in x, the prediction and the memories.
  template <class Process>
  static StepCoefficients correct(const Process& process, const Level& at, const Form& x0,
                                  std::span<const StepTimes> before) {
    const Level from = process.level(before.back().from);
    const double lambda = log_snr(from), h = log_snr(at) - lambda, phi = std::expm1(-h), weight = -at.alpha * phi;
    double older = 0, now = 0.5;  // of m_1 - m_0 and of m_t - m_0
    if (before.size() > 1) {
      const double r = (process.lambda(before[before.size() - 2].from) - lambda) / h;
      const double b = (phi / -h - 1) / phi, rho = (2 * (b / -h - 0.5 / phi) - b) / (r - 1);
      older = rho / r, now = b - rho;
    }
    const double share = weight * now;
    return {
        share * x0.x, share * x0.prediction, 0, {{weight * (1 - older - now), weight * older, at.sigma / from.sigma}}};
  }
};
static_assert(MemorySolver<UniPc> && DeterministicSolver<UniPc>);

}  // namespace hypersd::diffusion
