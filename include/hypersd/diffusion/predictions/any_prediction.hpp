// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/predictions/epsilon.hpp>
#include <hypersd/diffusion/predictions/velocity.hpp>
#include <hypersd/diffusion/predictions/x0.hpp>
#include <variant>

namespace hypersd::diffusion {

/// `Epsilon`, `Velocity` or `X0`, chosen at run time: what a checkpoint's file says. Where the type is known when a
/// program is compiled, name it instead: mismatches then do not compile.
struct AnyPrediction {
  static constexpr const char* name = "any";
  static constexpr bool needs_signal = false, needs_unit_variance = true;
  std::variant<Epsilon, Velocity, X0> kind{};

  [[nodiscard]] Form x0(const Level& l) const {
    return std::visit([&](const auto& p) { return p.x0(l); }, kind);
  }
  [[nodiscard]] Form eps(const Level& l) const {
    return std::visit([&](const auto& p) { return p.eps(l); }, kind);
  }
  [[nodiscard]] Target target(const Level& l) const {
    return std::visit([&](const auto& p) { return p.target(l); }, kind);
  }
  friend bool operator==(const AnyPrediction&, const AnyPrediction&) = default;
};
static_assert(Prediction<AnyPrediction>);

}  // namespace hypersd::diffusion
