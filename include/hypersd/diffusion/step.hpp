// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::diffusion {

/// One solver step: x_next = x * x_t + prediction * f(x_t, t) + noise * z, z standard normal.
struct StepCoefficients {
  double x = 1, prediction = 0, noise = 0;
};

/// Which step is asked for: from time `from` to time `to` < `from` (or equal: nothing to do); `last` is the final one.
struct StepTimes {
  int from = 0, to = 0;
  bool last = false;
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
