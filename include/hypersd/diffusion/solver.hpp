// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/step.hpp>
#include <vector>

namespace hypersd::diffusion {

namespace detail {

template <class S>
concept SolverPolicy = std::default_initializable<S> && requires {
  typename S::Options;
  {S{typename S::Options{}}};
  { S::name } -> std::convertible_to<const char*>;
  { S::stochastic } -> std::convertible_to<bool>;
};

}  // namespace detail

/// A solver whose step is one evaluation and affine in (x, prediction, noise): `step<P>(table, times)`.
template <class S>
concept AffineSolver = detail::SolverPolicy<S> && requires(const S& s, const NoiseTable& table, StepTimes times) {
  { s.template step<Epsilon>(table, times) } -> std::same_as<StepCoefficients>;
  { s.template step<Velocity>(table, times) } -> std::same_as<StepCoefficients>;
  { s.template step<X0>(table, times) } -> std::same_as<StepCoefficients>;
};

/// A solver whose step takes several evaluations or remembers earlier ones: `evaluations<P>(table, times, previous)`,
/// where `previous` is the step before, null at the first.
template <class S>
concept MemorySolver = detail::SolverPolicy<S> &&
    requires(const S& s, const NoiseTable& table, StepTimes times, const StepTimes* previous) {
  { s.template evaluations<Epsilon>(table, times, previous) } -> std::same_as<std::vector<Evaluation>>;
  { s.template evaluations<Velocity>(table, times, previous) } -> std::same_as<std::vector<Evaluation>>;
  { s.template evaluations<X0>(table, times, previous) } -> std::same_as<std::vector<Evaluation>>;
};

/// A solver: a small value with nested `Options` that turns noise levels into scalars and never sees a tensor.
/// `stochastic` says whether any of its settings injects noise.
template <class S>
concept Solver = AffineSolver<S> || MemorySolver<S>;

/// A solver that follows the probability-flow ODE: it injects no noise, whatever its settings.
template <class S>
concept DeterministicSolver = Solver<S> && !S::stochastic;

/// The evaluations of one step of any solver.
template <Prediction P, Solver S>
std::vector<Evaluation> evaluations_of(const S& solver, const NoiseTable& table, StepTimes times,
                                       const StepTimes* previous = nullptr) {
  if constexpr (AffineSolver<S>)
    return {{times.from, solver.template step<P>(table, times), {}}};
  else
    return solver.template evaluations<P>(table, times, previous);
}

}  // namespace hypersd::diffusion
