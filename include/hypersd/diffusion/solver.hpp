// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/step.hpp>

namespace hypersd::diffusion {

/// A solver: a small value with nested `Options` whose steps are affine in (x, prediction, noise). `stochastic` says
/// whether any of its settings injects noise.
template <class S>
concept Solver = std::default_initializable<S> && requires(const S& s, const NoiseTable& table, StepTimes times) {
  typename S::Options;
  {S{typename S::Options{}}};
  { S::name } -> std::convertible_to<const char*>;
  { S::stochastic } -> std::convertible_to<bool>;
  { s.template step<Epsilon>(table, times) } -> std::same_as<StepCoefficients>;
  { s.template step<Velocity>(table, times) } -> std::same_as<StepCoefficients>;
  { s.template step<X0>(table, times) } -> std::same_as<StepCoefficients>;
};

/// A solver that never injects noise, whatever its options: what following the probability-flow ODE needs.
template <class S>
concept DeterministicSolver = Solver<S> && !S::stochastic;

}  // namespace hypersd::diffusion
