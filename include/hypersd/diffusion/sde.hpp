// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/diffusion/noise_table.hpp>

/// \file
/// The variance-preserving process in continuous time (Song et al., "Score-based generative modeling through stochastic
/// differential equations"). Times are real numbers in units of the table's steps, from -1 (clean data) to T - 1; a
/// table's levels fix beta(t), so that the process has exactly their marginals at the integer times.

namespace hypersd::diffusion {

/// dx = -1/2 beta(t) x dt + sqrt(beta(t)) dw, and the deterministic flow with the same marginals.
class VpSde {
 public:
  explicit VpSde(NoiseTable table) : table_(std::move(table)) {}

  [[nodiscard]] const NoiseTable& table() const { return table_; }

  /// beta(t) = -d/dt ln alphas_cumprod, constant between the integer times; t in [-1, T-1], at an integer time the
  /// value below it. Throws OptionError for other times, NumericError where the last level holds no signal.
  [[nodiscard]] double beta(double t) const {
    const auto [lower, share] = split(t);
    const int below = share == 0 && lower > -1 ? lower - 1 : lower;
    const double b = table_.log_alphas_cumprod(below) - table_.log_alphas_cumprod(below + 1);
    require<NumericError>(std::isfinite(b), "beta(", t, ") is infinite: zero terminal SNR");
    return b;
  }
  /// Level at a real time: ln alphas_cumprod is linear between integer times.
  [[nodiscard]] Level level(double t) const {
    const auto [lower, share] = split(t);
    if (share == 0) return table_.level(lower);
    const double a = table_.log_alphas_cumprod(lower);
    const double log_alpha = a + share * (table_.log_alphas_cumprod(lower + 1) - a);
    return {std::exp(log_alpha / 2), std::sqrt(-std::expm1(log_alpha))};
  }

  /// Drift and diffusion of the forward process. [Hyper-SD Eq. 16]
  [[nodiscard]] double drift(double x, double t) const { return -0.5 * beta(t) * x; }
  [[nodiscard]] double diffusion(double t) const { return std::sqrt(beta(t)); }

  /// dx/dt of the probability-flow ODE, for the score grad ln p_t(x). [Hyper-SD Eq. 17]
  [[nodiscard]] double flow(double x, double score, double t) const { return -0.5 * beta(t) * (x + score); }

  /// Score of a noise prediction at a level: -eps / sigma.
  static double score(double eps, Level level) {
    require<NumericError>(level.sigma > 0, "the score is infinite at clean data, where sigma is 0");
    return -eps / level.sigma;
  }

 private:
  struct Split {
    int lower;
    double share;
  };
  [[nodiscard]] Split split(double t) const {
    require<OptionError>(t >= -1 && t <= table_.size() - 1, "time ", t, " is not in [-1, ", table_.size() - 1, "]");
    const double lower = std::floor(t);
    return {static_cast<int>(lower), t - lower};
  }

  NoiseTable table_;
};

/// Moves x, a vector of numbers, along the probability-flow ODE from time `from` down to `to` by the classical
/// fourth-order Runge-Kutta method, `substeps` to an interval between integer times. `score(x, level, out)` writes
/// grad ln p into `out`. The reference that samplers are measured against. [Hyper-SD Eq. 17]
template <class Vector, class Score>
Vector integrate_flow(const VpSde& sde, const Score& score, Vector x, int from, int to, int substeps = 1) {
  require<OptionError>(to <= from && to >= 0 && substeps >= 1, "flow from time ", from, " to ", to, " with ", substeps,
                       " substeps");
  const std::size_t n = x.size();
  Vector k(n), at(n), slope(n), sum(n);
  for (int interval = from; interval > to; --interval) {
    const double beta = sde.beta(interval), h = -1.0 / substeps;
    for (int i = 0; i < substeps; ++i) {
      const double t = interval + i * h;
      constexpr double place[] = {0, 0.5, 0.5, 1}, weight[] = {1. / 6, 1. / 3, 1. / 3, 1. / 6};
      for (int stage = 0; stage < 4; ++stage) {
        for (std::size_t j = 0; j < n; ++j) at[j] = stage == 0 ? x[j] : x[j] + place[stage] * h * k[j];
        score(at, sde.level(std::max<double>(t + place[stage] * h, interval - 1)), slope);
        for (std::size_t j = 0; j < n; ++j) {
          k[j] = -0.5 * beta * (at[j] + slope[j]);
          sum[j] = (stage == 0 ? 0 : sum[j]) + weight[stage] * k[j];
        }
      }
      for (std::size_t j = 0; j < n; ++j) x[j] += h * sum[j];
    }
  }
  return x;
}

}  // namespace hypersd::diffusion
