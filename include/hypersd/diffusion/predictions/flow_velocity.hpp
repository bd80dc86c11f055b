// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::diffusion {

/// f = alpha' x0 + sigma' eps, the velocity of flow matching (Lipman et al., "Flow matching for generative modeling"):
/// its conditional mean is dx/dt of the probability-flow ODE. With W = alpha sigma' - alpha' sigma,
///   x0 = (sigma' x - sigma f) / W,   eps = (alpha f - alpha' x) / W,
/// both finite at every level. For a rectified flow f = eps - x0.
struct FlowVelocity {
  static constexpr const char* name = "flow_velocity";
  static constexpr bool needs_signal = false, needs_unit_variance = false;
  static Form x0(const Level& l) { return {l.sigma_rate / l.wronskian(), -l.sigma / l.wronskian()}; }
  static Form eps(const Level& l) { return {-l.alpha_rate / l.wronskian(), l.alpha / l.wronskian()}; }
  static Target target(const Level& l) { return {l.alpha_rate, l.sigma_rate}; }
  friend bool operator==(const FlowVelocity&, const FlowVelocity&) = default;
};
static_assert(Prediction<FlowVelocity>);

}  // namespace hypersd::diffusion
