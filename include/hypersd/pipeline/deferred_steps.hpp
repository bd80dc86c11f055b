// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <hypersd/core/graph.hpp>
#include <hypersd/dist/deferred_mean.hpp>
#include <hypersd/optim/enqueued_steps.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <hypersd/pipeline/task.hpp>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace hypersd::pipeline {

/// Why deferred steps have ended.
struct BadStep {
  std::int64_t undone;       ///< the last steps, which changed nothing: the bad one and those after it
  double loss, norm;         ///< of the bad one
  int rank = -1;             ///< of several: whose loss was not finite, -1 where all were
  int failed = -1;           ///< of several: the first on which the step function threw, or -1
  std::exception_ptr error;  ///< what it threw here
};

/// Training steps that the host enqueues without waiting for them; a `CapturableTask` is captured in a graph after two
/// steps, and is one launch from then on.
///
/// With several ranks, which must reduce device memory (`Group::reduces_device`), loss and gradients are averaged on
/// the way, and there is no graph. A rank whose step function throws takes part in the reductions up to the next
/// question with a loss of NaN: nothing is updated any more on any rank, and none waits for it in vain.
template <Floating T, Device D>
class DeferredSteps {
 public:
  /// See `optim::EnqueuedSteps`; `parameters` are the optimiser's.
  DeferredSteps(optim::AdamW<T, D>& optimizer, optim::Ema<T, D>* ema, double clip, std::int64_t capacity,
                const optim::ParameterList<T, D>& parameters, const dist::Group& group)
      : optimizer_(optimizer),
        update_(optimizer, ema, clip, capacity, group.size() == 1 ? Update::Gradients::own : Update::Gradients::flat),
        capacity_(capacity),
        group_(group) {
    if (group.size() > 1) mean_.emplace(parameters, group);
  }

  /// Enqueues step `step` with learning rate `rate`. `step_fn` must be the same each time.
  template <class StepFn>
  void operator()(StepFn& step_fn, std::int64_t step, double rate) {
    Diagnostics diagnostics;
    if (mean_) {
      update_.prepare(rate);
      update_.enqueue((*mean_)(failed() ? Tensor<T, D>() : loss_here(step_fn, step, diagnostics)));
    } else if constexpr (CapturableTask<StepFn>) {
      step_fn.prepare(step);
      update_.prepare(rate);
      // What is created at its first use (handles, pools) must exist before a graph is recorded.
      constexpr int warm_up = 2;
      if (!graph_.defined() && eager_ == warm_up) graph_ = Graph<D>([this, &step_fn] { captured(step_fn); });
      if (graph_.defined()) {
        graph_.launch();
      } else {
        captured(step_fn);
        ++eager_;
      }
    } else {
      optimizer_.zero_grad();
      if constexpr (Task<StepFn>) step_fn.prepare(step);
      if constexpr (LearningTask<StepFn>) step_fn.learn(diffusion::OwnGradients{});
      const auto result = loss_of_step(step_fn, step);
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
  /// Whether the step function has thrown here: `ask` will tell all ranks.
  [[nodiscard]] bool failed() const { return error_ != nullptr; }

  /// Waits, and calls finished(loss, rate, norm, diagnostics) for each step since the last question, up to the first
  /// that is not finite or failed on a rank, which changed nothing: then bad(`BadStep`). All ranks call it.
  template <class Finished, class Bad>
  void ask(Finished&& finished, Bad&& bad) {
    const auto result = update_.synchronize();
    const auto [failed_rank, failed_step] = first_failure();
    // A failure makes its step's loss NaN; a step before it may have come to that by itself.
    const bool failed = failed_rank >= 0 && (result.bad < 0 || failed_step <= result.bad);
    const std::int64_t stop = failed ? failed_step : result.bad;
    const std::size_t n = stop < 0 ? result.losses.size() : static_cast<std::size_t>(stop);
    for (std::size_t i = 0; i < n; ++i) finished(result.losses[i], rates_[i], result.norms[i], diagnostics_[i]);
    rates_.clear();
    diagnostics_.clear();
    if (stop < 0) return;
    BadStep out{static_cast<std::int64_t>(result.losses.size() - n), result.losses[n], result.norms[n], -1, -1, {}};
    if (mean_) out.rank = result.part;
    if (failed) {
      out.failed = failed_rank;
      if (failed_at_ == stop) out.error = error_;
    }
    bad(out);
  }

 private:
  using Update = optim::EnqueuedSteps<T, D>;

  /// The step's loss after the backward pass; undefined if something was thrown.
  template <class StepFn>
  Tensor<T, D> loss_here(StepFn& step_fn, std::int64_t step, Diagnostics& diagnostics) {
    try {
      optimizer_.zero_grad();
      if constexpr (Task<StepFn>) step_fn.prepare(step);
      if constexpr (LearningTask<StepFn>) step_fn.learn(diffusion::OwnGradients{});
      const auto result = loss_of_step(step_fn, step);
      const Var<T, D>& loss = loss_of<T, D>(result, diagnostics);
      autograd::backward(loss);
      return loss.value();
    } catch (...) {
      error_ = std::current_exception();
      failed_at_ = update_.pending();
      return {};
    }
  }
  /// The first rank to fail since the last question and its step's number since then, or -1: between the hosts.
  [[nodiscard]] std::pair<int, std::int64_t> first_failure() const {
    std::vector<double> steps(static_cast<std::size_t>(group_.size()), 0.0);  // of each rank, counted from 1
    if (failed()) steps[static_cast<std::size_t>(group_.rank())] = static_cast<double>(failed_at_ + 1);
    group_.all_reduce(std::span<double>(steps), dist::Reduce::sum);
    std::pair<int, std::int64_t> out{-1, -1};
    for (int r = 0; r < group_.size(); ++r)
      if (const auto step = static_cast<std::int64_t>(steps[static_cast<std::size_t>(r)]) - 1;
          step >= 0 && (out.first < 0 || step < out.second))
        out = {r, step};
    return out;
  }

  template <class StepFn>
  void captured(StepFn& step_fn) {
    optimizer_.zero_grad();
    {
      const Var<T, D> loss = step_fn.loss();
      autograd::backward(loss);
      update_.enqueue(loss.value());
    }
    optimizer_.zero_grad();  // gradients of a graph are its own memory
  }

  optim::AdamW<T, D>& optimizer_;
  Update update_;
  std::int64_t capacity_;
  dist::Group group_;
  std::optional<dist::DeferredMean<T, D>> mean_;  ///< of several ranks
  std::exception_ptr error_;
  std::int64_t failed_at_ = -1;  ///< number of the step since the last question
  int eager_ = 0;
  Graph<D> graph_;
  std::vector<double> rates_;
  std::vector<Diagnostics> diagnostics_;
};

}  // namespace hypersd::pipeline
