// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <hypersd/autograd/variable.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/pipeline/hooks.hpp>

/// \file
/// What a `Trainer` runs: a function of the step that returns a loss, or a task with more parts.

namespace hypersd::pipeline {

/// A training task. In each step the trainer calls `prepare(step)`, which gathers the step's data; then
/// `learn(average)` where there is one, which updates what the task trains beside the trainer's parameters (a critic, a
/// fake score); then `loss()`, which trains nothing. It gives a variable, or a struct with `loss` and `diagnostics`.
template <class F>
concept Task = requires(F& f, std::int64_t step) {
  f.prepare(step);
  f.loss();
};

/// A task that trains networks of its own. `average(parameters)` replaces their gradients by the means over all ranks.
template <class F>
concept LearningTask = Task<F> && requires(F& f) {
  f.learn(diffusion::OwnGradients{});
};

/// A task whose `loss()` reads nothing from the host and works on tensors that live as long as the task: a trainer on a
/// GPU captures it in a CUDA graph and launches one graph a step.
template <class F>
concept CapturableTask = Task<F> && !LearningTask<F> && requires {
  requires F::capturable;
};

/// The loss of what a step returned; its diagnostics are added to `diagnostics`.
template <Floating T, Device D, class Result>
const Var<T, D>& loss_of(const Result& result, Diagnostics& diagnostics) {
  if constexpr (std::same_as<Result, Var<T, D>>) {
    return result;
  } else {
    for (const auto& [name, value] : result.diagnostics) diagnostics.emplace_back(name, static_cast<double>(value));
    return result.loss;
  }
}

/// The loss of step `step` of a task or a function. A task must not train anything here: see `LearningTask`.
template <class StepFn>
auto loss_of_step(StepFn& step_fn, std::int64_t step) {
  if constexpr (Task<StepFn>)
    return step_fn.loss();
  else
    return step_fn(step);
}

}  // namespace hypersd::pipeline
