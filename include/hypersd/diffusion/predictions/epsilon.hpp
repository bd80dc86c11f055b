// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::diffusion {

/// f = eps: x0 = (x - sigma f) / alpha (Ho et al., "Denoising diffusion probabilistic models"). Throws NumericError for
/// x0 where alpha = 0 (zero terminal SNR).
struct Epsilon {
  static constexpr const char* name = "epsilon";
  static constexpr bool needs_signal = true, needs_unit_variance = false;
  static Form x0(const Level& l) {
    require<NumericError>(l.alpha > 0,
                          "an epsilon prediction gives no clean data at zero terminal SNR; use Velocity or X0");
    return {1 / l.alpha, -l.sigma / l.alpha};
  }
  static Form eps(const Level&) { return {0, 1}; }
  static Target target(const Level&) { return {0, 1}; }
  friend bool operator==(const Epsilon&, const Epsilon&) = default;
};
static_assert(Prediction<Epsilon>);

}  // namespace hypersd::diffusion
