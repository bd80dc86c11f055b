// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/graph.hpp>
#include <hypersd/optim/deferred_adamw.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <hypersd/pipeline/step_result.hpp>
#include <hypersd/pipeline/two_part_step.hpp>
#include <vector>

namespace hypersd::pipeline {

/// Training steps that the host enqueues without waiting for them; a `TwoPartStep` is recorded in a graph after two
/// steps, and is one launch from then on.
template <Floating T, Device D>
class DeferredSteps {
 public:
  /// See `optim::DeferredAdamW`.
  DeferredSteps(optim::AdamW<T, D>& optimizer, optim::Ema<T, D>* ema, double clip, std::int64_t capacity)
      : optimizer_(optimizer), update_(optimizer, ema, clip, capacity), capacity_(capacity) {}

  /// Enqueues step `step` with learning rate `rate`. `step_fn` must be the same each time.
  template <class StepFn>
  void operator()(StepFn& step_fn, std::int64_t step, double rate) {
    Diagnostics diagnostics;
    if constexpr (TwoPartStep<StepFn, T, D>) {
      step_fn.prepare(step);
      update_.prepare(rate);
      // What is created at its first use (handles, pools) must exist before a graph is recorded.
      constexpr int warm_up = 2;
      if (!graph_.defined() && eager_ == warm_up) graph_ = Graph<D>([this, &step_fn] { two_part(step_fn); });
      if (graph_.defined()) {
        graph_.launch();
      } else {
        two_part(step_fn);
        ++eager_;
      }
    } else {
      optimizer_.zero_grad();
      const auto result = step_fn(step);
      const Var<T, D>& loss = loss_of<T, D>(result, diagnostics);
      autograd::backward(loss);
      update_.prepare(rate);
      update_.enqueue(loss.value());
    }
    update_.done();
    rates_.push_back(rate);
    diagnostics_.push_back(std::move(diagnostics));
  }
  /// No step more fits before `ask`.
  [[nodiscard]] bool full() const { return update_.pending() == capacity_; }

  /// Waits, and calls finished(loss, rate, norm, diagnostics) for each step since the last question, up to the first
  /// that is not finite, which changed nothing: then bad(steps not done, loss, norm).
  template <class Finished, class Bad>
  void ask(Finished&& finished, Bad&& bad) {
    const auto told = update_.ask();
    const std::size_t n = told.bad < 0 ? told.losses.size() : static_cast<std::size_t>(told.bad);
    for (std::size_t i = 0; i < n; ++i) finished(told.losses[i], rates_[i], told.norms[i], diagnostics_[i]);
    rates_.clear();
    diagnostics_.clear();
    if (told.bad >= 0) bad(static_cast<std::int64_t>(told.losses.size() - n), told.losses[n], told.norms[n]);
  }

 private:
  template <class StepFn>
  void two_part(StepFn& step_fn) {
    optimizer_.zero_grad();
    {
      const Var<T, D> loss = step_fn.loss();
      autograd::backward(loss);
      update_.enqueue(loss.value());
    }
    optimizer_.zero_grad();  // gradients of a graph are its own memory
  }

  optim::AdamW<T, D>& optimizer_;
  optim::DeferredAdamW<T, D> update_;
  std::int64_t capacity_;
  int eager_ = 0;
  Graph<D> graph_;
  std::vector<double> rates_;
  std::vector<Diagnostics> diagnostics_;
};

}  // namespace hypersd::pipeline
