// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/solver.hpp>

namespace hypersd::diffusion {

/// The third-order multistep method of DPM-Solver++ in the data prediction (Lu et al., "DPM-Solver++"; Appendix B of
/// "DPM-Solver", with polynomials in lambda = ln(alpha / sigma)): with m_0 = x0hat now and m_1, m_2 one and two steps
/// before, h = lambda' - lambda, h_1, h_2 the steps before, r_i = h_i / h,
///   D_10 = (m_0 - m_1) / r_1 and D_11 = (m_1 - m_2) / r_2 give h m' and h^2 m'' of the parabola through them,
///   d_1 = D_10 + r_1 / (r_1 + r_2) (D_10 - D_11) and d_2 = 2 / (r_1 + r_2) (D_10 - D_11),
///   x' = (sigma' / sigma) x + alpha' (phi_1 m_0 + phi_2 d_1 - phi_3 d_2),
///   phi_1 = 1 - e^-h,  phi_2 = (e^-h - 1) / h + 1,  phi_3 = (e^-h - 1 + h) / h^2 - 1/2.
/// With half of d_2, as published code has it, the order is second. First and second order while fewer steps are
/// remembered; first order on the last step, to clean data and from zero terminal SNR.
struct DpmPp3M {
  struct Options {};
  static constexpr const char* name = "dpmpp_3m";
  static constexpr bool stochastic = false;
  Options options{};

  template <DiffusionProcess Process>
  [[nodiscard]] std::vector<Evaluation> evaluations(const Process& process, StepTimes t,
                                                    std::span<const StepTimes> before) const {
    const Level from = process.level(t.from), to = process.level(t.to);
    const Form x0 = process.x0(t.from);
    Evaluation e{t.from, {}, {}};
    if (!t.last) {
      StepCoefficients older{0};
      older.memory[0] = 1;
      e.remember = before.empty() ? std::vector{step_of(x0)} : std::vector{step_of(x0), older};
    }
    if (t.from == t.to) return {e};
    const double lambda = log_snr(from), h = log_snr(to) - lambda;
    // Weights of m_0, m_1 and m_2.
    double w[3] = {-to.alpha * std::expm1(-h), 0, 0};
    if (!t.last && !before.empty() && std::isfinite(h) && to.sigma > 0) {
      const double phi2 = to.alpha * (std::expm1(-h) / h + 1);
      const double r1 = (lambda - process.lambda(before.back().from)) / h;
      const double h2 =
          before.size() < 2 ? 0 : process.lambda(before.back().from) - process.lambda(before[before.size() - 2].from);
      if (before.size() < 2 || !std::isfinite(h2)) {
        // d_1 = (m_0 - m_1) / r_1; none where the step before began at pure noise.
        if (std::isfinite(r1)) w[0] += phi2 / r1, w[1] -= phi2 / r1;
      } else {
        const double phi3 = to.alpha * ((std::expm1(-h) + h) / (h * h) - 0.5), r2 = h2 / h;
        // phi_2 d_1 - phi_3 d_2 = a D_10 - b D_11.
        const double b = (phi2 * r1 - 2 * phi3) / (r1 + r2), a = phi2 + b;
        w[0] += a / r1, w[1] -= a / r1 + b / r2, w[2] += b / r2;
      }
    }
    e.update = {to.sigma / from.sigma + w[0] * x0.x, w[0] * x0.prediction, 0, {{w[1], w[2]}}};
    return {e};
  }
};
static_assert(MemorySolver<DpmPp3M> && DeterministicSolver<DpmPp3M>);

}  // namespace hypersd::diffusion
