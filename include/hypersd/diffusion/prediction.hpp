// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/diffusion/schedule.hpp>

/// \file
/// What a network predicts, as scalar arithmetic: clean data and noise are affine in (x_t, prediction), and the
/// training target is affine in (x_0, eps). Coefficients are computed in double and applied by whoever holds tensors.

namespace hypersd::diffusion {

/// x * x_t + prediction * f(x_t, t).
struct Form {
  double x = 0, prediction = 0;
};
/// x0 * x_0 + eps * noise.
struct Target {
  double x0 = 0, eps = 0;
};

/// A prediction type: stateless, three scalar functions of the noise level.
template <class P>
concept Prediction = std::default_initializable<P> && requires(Level level) {
  { P::name } -> std::convertible_to<const char*>;
  { P::x0(level) } -> std::same_as<Form>;
  { P::eps(level) } -> std::same_as<Form>;
  { P::target(level) } -> std::same_as<Target>;
  { P::needs_signal } -> std::convertible_to<bool>;
};

/// f = eps: x0 = (x - sigma f) / alpha. Throws NumericError for x0 where alpha = 0 (zero terminal SNR).
struct Epsilon {
  static constexpr const char* name = "epsilon";
  static constexpr bool needs_signal = true;
  static Form x0(Level l) {
    require<NumericError>(l.alpha > 0,
                          "a noise prediction gives no clean data at zero terminal SNR; use Velocity or X0");
    return {1 / l.alpha, -l.sigma / l.alpha};
  }
  static Form eps(Level) { return {0, 1}; }
  static Target target(Level) { return {0, 1}; }
};

/// f = v = alpha eps - sigma x0 (Salimans and Ho, "Progressive distillation", appendix D): x0 = alpha x - sigma f,
/// eps = sigma x + alpha f, both safe at every level.
struct Velocity {
  static constexpr const char* name = "v_prediction";
  static constexpr bool needs_signal = false;
  static Form x0(Level l) { return {l.alpha, -l.sigma}; }
  static Form eps(Level l) { return {l.sigma, l.alpha}; }
  static Target target(Level l) { return {-l.sigma, l.alpha}; }
};

/// f = x0: eps = (x - alpha f) / sigma. Throws NumericError for eps where sigma = 0 (the origin).
struct X0 {
  static constexpr const char* name = "sample";
  static constexpr bool needs_signal = false;
  static Form x0(Level) { return {0, 1}; }
  static Form eps(Level l) {
    require<NumericError>(l.sigma > 0, "a data prediction gives no noise at the origin, where sigma is 0");
    return {1 / l.sigma, -l.alpha / l.sigma};
  }
  static Target target(Level) { return {1, 0}; }
};

static_assert(Prediction<Epsilon> && Prediction<Velocity> && Prediction<X0>);

/// Whether prediction `P` works at every level of schedule `S`: a noise prediction does not at zero terminal SNR.
template <class P, class S>
concept PredictableOn = Prediction<P> && NoiseSchedule<S> && !(P::needs_signal && S::zero_terminal_snr);

/// alpha_s x0hat + sigma_s epshat: the DDIM jump Psi to level `to` as a form in (x_t, prediction).
template <Prediction P>
Form jump_form(Level from, Level to) {
  const Form x0 = P::x0(from);
  if (to.sigma == 0) return {to.alpha * x0.x, to.alpha * x0.prediction};  // no noise left, so none is asked for
  const Form eps = P::eps(from);
  return {to.alpha * x0.x + to.sigma * eps.x, to.alpha * x0.prediction + to.sigma * eps.prediction};
}

/// Prediction `To` in terms of (x_t, prediction `From`).
template <Prediction From, Prediction To>
Form convert_form(Level l) {
  if constexpr (std::same_as<From, To>) {
    return {0, 1};
  } else {
    const Target target = To::target(l);
    const Form x0 = target.x0 != 0 ? From::x0(l) : Form{}, eps = target.eps != 0 ? From::eps(l) : Form{};
    return {target.x0 * x0.x + target.eps * eps.x, target.x0 * x0.prediction + target.eps * eps.prediction};
  }
}

}  // namespace hypersd::diffusion
