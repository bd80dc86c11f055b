// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/diffusion/prediction.hpp>
#include <optional>

namespace hypersd::diffusion {

/// One solver update: x_next = x * x_t + prediction * f(x_t, t) + noise * z + memory * m, z standard normal, m what an
/// earlier evaluation has remembered (0 for solvers that look at the present alone).
struct StepCoefficients {
  double x = 1, prediction = 0, noise = 0, memory = 0;
};

/// Which step is asked for: from time `from` to time `to` < `from` (or equal: nothing to do); `last` is the final one.
struct StepTimes {
  int from = 0, to = 0;
  bool last = false;
};

/// One call of the network at `time` and the update made with its answer. Where `remember` is set, the memory becomes
/// remember->x * x_t + remember->prediction * f, both from before the update, which itself still reads the old memory.
struct Evaluation {
  int time = 0;
  StepCoefficients update{};
  std::optional<Form> remember{};
};

/// The DDIM jump Psi(x_t, f, s) = alpha_s x0hat + sigma_s epshat (Psi of Eq 1-5, 11 and 12 of the paper; Song et al.,
/// "Denoising diffusion implicit models", Eq 12). From a time to itself it is exactly the identity.
template <Prediction P>
Form jump_form(const NoiseTable& table, int from, int to) {
  table.check(from);
  table.check(to);
  if (from == to) return {1, 0};
  return jump_form<P>(table.level(from), table.level(to));
}

/// Re-noising from time s up to t >= s: x_t = x * x_s + noise * z with x = alpha_t / alpha_s and
/// noise^2 = 1 - alpha_t^2 / alpha_s^2, so that a marginal at s becomes the marginal at t.
inline StepCoefficients renoise(const NoiseTable& table, int s, int t) {
  require<OptionError>(s <= t, "renoise: from time ", s, " down to ", t);
  if (s == t) return {};
  // expm1 of the log ratio keeps the variance exact where s and t are neighbours.
  const double log_ratio = table.log_alphas_cumprod(t) - table.log_alphas_cumprod(s);
  return {std::exp(0.5 * log_ratio), 0, std::sqrt(-std::expm1(log_ratio))};
}

}  // namespace hypersd::diffusion
