// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/step.hpp>
#include <span>

namespace hypersd::diffusion {

namespace detail {

template <class S>
concept SolverOptions = std::default_initializable<S> && requires {
  typename S::Options;
  {S{typename S::Options{}}};
};
template <class S>
concept SolverName = requires {
  { S::name } -> std::convertible_to<const char*>;
};
template <class S>
concept SolverKind = requires {
  { S::stochastic } -> std::convertible_to<bool>;
};
template <class S, class Process>
concept HasStep = requires(const S& s, const Process& process, StepTimes times) {
  { s.step(process, times) } -> std::same_as<StepCoefficients>;
};
template <class S, class Process>
concept HasEvaluations = requires(const S& s, const Process& process, StepTimes times,
                                  std::span<const StepTimes> before) {
  { s.evaluations(process, times, before) } -> std::same_as<std::vector<Evaluation>>;
};
template <class S>
concept SolverPolicy = SolverOptions<S> && SolverName<S> && SolverKind<S>;

}  // namespace detail

/// A solver whose step is one evaluation and affine in (x, prediction, noise): `step(process, times)`.
template <class S, class Process = Discrete<>>
concept AffineSolver = detail::SolverPolicy<S> && detail::HasStep<S, Process>;

/// A solver whose step takes several evaluations or remembers earlier ones: `evaluations(process, times, before)`,
/// where `before` are the steps taken so far, the latest last.
template <class S, class Process = Discrete<>>
concept MemorySolver = detail::SolverPolicy<S> && detail::HasEvaluations<S, Process>;

/// A solver: a small value with nested `Options` that turns noise levels into scalars and never sees a tensor.
/// `stochastic` says whether any of its settings injects noise. One whose step is the jump Psi, with or without noise
/// added after it, has `jump_end(process, times)`, the time at which the jump lands: flow maps with a second time are
/// asked for that jump.
template <class S, class Process = Discrete<>>
concept Solver = AffineSolver<S, Process> || MemorySolver<S, Process>;

/// A solver that follows the probability-flow ODE: it injects no noise, whatever its settings.
template <class S, class Process = Discrete<>>
concept DeterministicSolver = Solver<S, Process> && !S::stochastic;

/// Says at compile time what keeps `S` from being a solver of `Process`.
template <class S, class Process>
consteval void require_solver() {
  static_assert(detail::SolverOptions<S>, "a solver needs a nested `Options` from which it can be made");
  static_assert(detail::SolverName<S>, "a solver needs `static constexpr const char* name`");
  static_assert(detail::SolverKind<S>, "a solver needs `static constexpr bool stochastic`");
  static_assert(detail::HasStep<S, Process> || detail::HasEvaluations<S, Process>,
                "a solver needs `StepCoefficients step(process, StepTimes) const`, or `std::vector<Evaluation> "
                "evaluations(process, StepTimes, std::span<const StepTimes>) const`, for this process");
}

/// The evaluations of one step of any solver.
template <DiffusionProcess Process, Solver<Process> S>
std::vector<Evaluation> evaluations_of(const S& solver, const Process& process, StepTimes times,
                                       std::span<const StepTimes> before = {}) {
  if constexpr (AffineSolver<S, Process> && requires { solver.jump_end(process, times); })
    return {{times.from, solver.step(process, times), {}, solver.jump_end(process, times)}};
  else if constexpr (AffineSolver<S, Process>)
    return {{times.from, solver.step(process, times), {}, {}}};
  else
    return solver.evaluations(process, times, before);
}

}  // namespace hypersd::diffusion
