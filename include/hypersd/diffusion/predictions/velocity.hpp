// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::diffusion {

/// f = v = alpha eps - sigma x0 of a variance-preserving process (Salimans and Ho, "Progressive distillation", appendix
/// D): x0 = alpha x - sigma f, eps = sigma x + alpha f, both finite at every level.
struct Velocity {
  static constexpr const char* name = "v_prediction";
  static constexpr bool needs_signal = false, needs_unit_variance = true;
  static Form x0(const Level& l) { return {l.alpha, -l.sigma}; }
  static Form eps(const Level& l) { return {l.sigma, l.alpha}; }
  static Target target(const Level& l) { return {-l.sigma, l.alpha}; }
  friend bool operator==(const Velocity&, const Velocity&) = default;
};
static_assert(Prediction<Velocity>);

}  // namespace hypersd::diffusion
