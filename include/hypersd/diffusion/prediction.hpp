// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/core/error.hpp>
#include <hypersd/diffusion/level.hpp>

/// \file
/// What a network predicts, as scalar arithmetic: clean data and noise are affine in (x_t, prediction), and the
/// training target is affine in (x_0, eps). Coefficients are computed in double and applied by whoever holds tensors.

namespace hypersd::diffusion {

/// A prediction type: three scalar functions of the noise level.
///
/// - `x0(level)`, `eps(level)`: clean data and noise from x_t and the prediction. `target(level)`: the inverse.
/// - `needs_signal`: whether x0 does not exist at alpha = 0.
/// - `needs_unit_variance`: whether the formulas hold for alpha^2 + sigma^2 = 1 alone.
/// - `input_scale(level)`, optional: the network is given input_scale * x_t.
/// - `network_time(t)` and its inverse `process_time(n)`, optional: the network is given network_time(t).
template <class P>
concept Prediction = std::default_initializable<P> && std::equality_comparable<P> && requires(const P& p, Level level) {
  { P::name } -> std::convertible_to<const char*>;
  { p.x0(level) } -> std::same_as<Form>;
  { p.eps(level) } -> std::same_as<Form>;
  { p.target(level) } -> std::same_as<Target>;
  { P::needs_signal } -> std::convertible_to<bool>;
  { P::needs_unit_variance } -> std::convertible_to<bool>;
};

/// alpha_s x0hat + sigma_s epshat: the DDIM jump Psi to level `to` as a form in (x_t, prediction).
template <Prediction P>
Form jump_form(const P& p, const Level& from, const Level& to) {
  const Form x0 = p.x0(from);
  if (to.sigma == 0) return {to.alpha * x0.x, to.alpha * x0.prediction};  // no noise left: eps may not exist
  const Form eps = p.eps(from);
  return {to.alpha * x0.x + to.sigma * eps.x, to.alpha * x0.prediction + to.sigma * eps.prediction};
}

/// Prediction `To` in terms of (x_t, prediction `From`).
template <Prediction From, Prediction To>
Form convert_form(const From& from, const To& to, const Level& l) {
  if constexpr (std::same_as<From, To>)
    if (from == to) return {0, 1};
  const Target target = to.target(l);
  const Form x0 = target.x0 != 0 ? from.x0(l) : Form{}, eps = target.eps != 0 ? from.eps(l) : Form{};
  return {target.x0 * x0.x + target.eps * eps.x, target.x0 * x0.prediction + target.eps * eps.prediction};
}

}  // namespace hypersd::diffusion
