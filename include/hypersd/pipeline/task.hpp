// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <hypersd/diffusion/objective.hpp>

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

/// A task whose `learn` and `loss` read nothing from the host and work on tensors that live as long as the task: a
/// trainer on a GPU captures them in a CUDA graph and launches one graph a step. Diagnostics are not read then.
template <class F>
concept CapturableTask = Task<F> && requires {
  requires F::capturable;
};

}  // namespace hypersd::pipeline
