// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/prediction.hpp>

namespace hypersd::diffusion {

/// f = x0: eps = (x - alpha f) / sigma. Throws NumericError for eps where sigma = 0 (clean data).
struct X0 {
  static constexpr const char* name = "sample";
  static constexpr bool needs_signal = false, needs_unit_variance = false;
  static Form x0(const Level&) { return {0, 1}; }
  static Form eps(const Level& l) {
    require<NumericError>(l.sigma > 0, "a data prediction gives no noise at clean data, where sigma is 0");
    return {1 / l.sigma, -l.alpha / l.sigma};
  }
  static Target target(const Level&) { return {1, 0}; }
  friend bool operator==(const X0&, const X0&) = default;
};
static_assert(Prediction<X0>);

}  // namespace hypersd::diffusion
