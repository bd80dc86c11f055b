// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cmath>
#include <exception>
#include <filesystem>
#include <hypersd/core/progress.hpp>
#include <hypersd/dist/gradients.hpp>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/ema.hpp>
#include <hypersd/optim/schedule.hpp>
#include <hypersd/pipeline/checkpoint.hpp>
#include <hypersd/pipeline/deferred_steps.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <hypersd/pipeline/row_mean.hpp>
#include <hypersd/pipeline/task.hpp>
#include <optional>
#include <type_traits>

namespace hypersd::pipeline {

/// Settings of a training run.
struct TrainOptions {
  std::string phase = "train";  ///< name in progress, errors and checkpoints
  std::int64_t steps = 1000;    ///< updates in all, >= 1
  optim::Schedule learning_rate = optim::Constant{1e-3};
  optim::AdamWOptions adamw{};
  double clip = 1.0;                       ///< largest gradient norm; 0 for no clipping
  std::optional<optim::EmaOptions> ema{};  ///< keeps an average of the parameters if set
  std::int64_t log_every = 10;             ///< steps a line of the loss curve, >= 1
  std::int64_t checkpoint_every = 0;       ///< steps between checkpoints; 0: only at the end
  std::string checkpoint{};                ///< file; empty: none
  std::uint64_t seed = 0;                  ///< kept in the checkpoint, and compared when it is loaded
  dist::Group group{};                     ///< the processes that train together; by default this one alone
};

/// What `train` did.
struct TrainReport {
  std::int64_t first_step = 0;  ///< updates that were done before (a resumed run)
  std::int64_t step = 0;        ///< updates done now
  double loss = 0;              ///< mean loss of the last window of `log_every` steps; NaN if no step was run
  double seconds = 0;           ///< wall time of this run
  bool stopped = false;         ///< `Hooks::stop` ended it early
};

/// The training loop: step function, backward, checks, clipping, AdamW, average, log, checkpoint. The step function is
/// called with the number of updates done so far; if it draws all its data and noise from (seed, step), a run that was
/// killed and resumed gives bitwise the parameters of an uninterrupted one.
///
/// With several processes in `TrainOptions::group` each calls the step function on its part of the batch
/// (`dist::slice`), and loss and gradients are averaged before clipping. Rank 0 alone writes, logs and reports; the
/// others begin with its state. A step that throws on one rank throws on all, a CommunicationError naming it on the
/// others, and nothing has been updated. What a `LearningTask` trains averages its gradients too.
///
/// On a GPU the host does not wait for its steps: loss and norm are looked at when a line of the loss curve is due
/// (`DeferredSteps`), and progress is reported then. A step that is not finite, or threw on one of several processes,
/// and those after it, have changed nothing when that is found. Several processes do so where they reduce device memory
/// (`dist::Nccl`) and the task trains nothing of its own. A `CapturableTask` becomes one graph a step in a process by
/// itself.
template <Floating T, Device D = Cpu>
class Trainer {
 public:
  /// Keeps handles to `parameters`. Throws OptionError for options out of range.
  Trainer(TrainOptions options, optim::ParameterList<T, D> parameters)
      : options_(std::move(options)),
        parameters_(std::move(parameters)),
        optimizer_(parameters_, options_.adamw),
        gradients_(parameters_) {
    auto need = [this](bool ok, const char* what, const auto& value) {
      require<OptionError>(ok, "phase '", options_.phase, "': ", what, " = ", value);
    };
    need(options_.steps >= 1, "steps", options_.steps);
    need(options_.log_every >= 1, "log_every", options_.log_every);
    need(options_.checkpoint_every >= 0, "checkpoint_every", options_.checkpoint_every);
    need(options_.clip >= 0, "clip", options_.clip);
    need(static_cast<bool>(options_.learning_rate), "learning_rate", "no schedule");
    need(!parameters_.empty(), "parameters", "an empty list");
    state_.add("parameter.", parameters_);
    state_.add("adamw.", optimizer_);
    if (options_.ema) {
      ema_.emplace(parameters_, *options_.ema);
      state_.add("ema.", *ema_);
    }
  }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  [[nodiscard]] std::int64_t step() const { return step_; }
  [[nodiscard]] const TrainOptions& options() const { return options_; }
  [[nodiscard]] optim::AdamW<T, D>& optimizer() { return optimizer_; }
  /// The average; throws OptionError if the options ask for none.
  [[nodiscard]] optim::Ema<T, D>& ema() {
    require<OptionError>(ema_.has_value(), "phase '", options_.phase, "' keeps no average");
    return *ema_;
  }
  /// What a checkpoint holds. Add here what else the step function changes (a discriminator, its optimiser).
  [[nodiscard]] State& state() { return state_; }

  /// Loads the checkpoint if there is one; returns whether. A damaged one is renamed to `FILE.damaged` and the one
  /// before it is loaded, of which `run` tells `progress`. Throws FormatError if both are damaged or of another
  /// architecture, OptionError for another phase, seed or number of steps. Rank 0 reads, and the others get it from
  /// there; how many wrote it does not matter.
  bool resume() {
    const dist::Group& group = options_.group;
    bool found = false;
    group.on_root([&] { found = load(); });
    if (group.size() == 1) return found;
    found = group.shared(found);
    step_ = group.shared(step_);
    saved_step_ = group.shared(saved_step_);
    if (found) share_state();
    return found;
  }

  /// Trains to the end (or to `Hooks::stop`). `step_fn` is a `Task`, or a function of the step that returns the
  /// loss or a struct with `loss` and `diagnostics`. Throws NumericError naming phase and step if loss or gradient are
  /// not finite: nothing has been updated by that step, and the last checkpoint stays. Errors of the step function pass
  /// through.
  template <class StepFn>
  TrainReport run(StepFn&& step_fn, const Progress& progress = {}, const Hooks& hooks = {}) {
    const dist::Group& group = options_.group;
    group.require_same("steps done", step_);
    group.require_same("steps to do", options_.steps);
    share_state();
    TrainReport out{step_, step_, std::nan(""), 0, false};
    const auto begin = std::chrono::steady_clock::now();
    if (group.root()) notify(progress, {options_.phase, step_, options_.steps, {}, std::exchange(remark_, {})});
    LogWindow window;
    double smooth = 0, weight = 0;  // of the loss shown in progress: a mean over about 20 steps
    const auto finished = [&](double loss, double rate, double norm, const Diagnostics& diagnostics) {
      window.add(loss, rate, norm, diagnostics);
      smooth = 0.95 * smooth + 0.05 * loss;
      weight = 0.95 * weight + 0.05;
    };
    auto deferred = deferred_steps<std::remove_cvref_t<StepFn>>();
    const bool may_stop = group.any(static_cast<bool>(hooks.stop));
    while (step_ < options_.steps && !out.stopped) {
      if constexpr (on_gpu) {
        if (deferred) {
          (*deferred)(step_fn, step_, options_.learning_rate(step_));
          ++step_;
        } else {
          one_step(step_fn, finished);
        }
      } else {
        one_step(step_fn, finished);
      }
      bool failed = false;  // here: the others go on up to the next question, or vote
      if constexpr (on_gpu) failed = deferred && deferred->failed();
      if (hooks.after_step && !failed) hooks.after_step(step_);
      out.stopped = may_stop && group.any(failed || (hooks.stop && hooks.stop(step_))) && step_ < options_.steps;
      const bool last = step_ == options_.steps || out.stopped;
      const bool save = last || (options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0);
      bool known = true;  // how this step went
      if constexpr (on_gpu) {
        if (deferred) {
          known = save || step_ % options_.log_every == 0 || deferred->full();
          if (known) deferred->ask(finished, [&](const BadStep& bad) { stop_deferred(bad); });
        }
      }
      // The line goes before the checkpoint: a resumed run cuts later lines off and so has each one once.
      if (save || step_ % options_.log_every == 0) {
        const LogRow row = row_mean(group, window.take(options_.phase, step_));
        out.loss = row.loss;
        group.on_root([&] {
          if (hooks.log) hooks.log(row);
        });
      }
      if (save) save_checkpoint(hooks);
      if (known && group.root()) notify(progress, {options_.phase, step_, options_.steps, smooth / weight, {}});
    }
    optim::zero_grad(parameters_);
    out.step = step_;
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return out;
  }

 private:
  [[nodiscard]] CheckpointInfo info() const { return {options_.phase, step_, options_.steps, options_.seed}; }

  bool load() {
    if (options_.checkpoint.empty()) return false;
    std::string damage;
    for (const std::string& path : {options_.checkpoint, previous_checkpoint(options_.checkpoint)}) {
      std::error_code ignored;
      if (!std::filesystem::exists(path, ignored)) continue;
      std::optional<io::SafetensorsFile> file;
      try {
        file.emplace(path);
        io::verify_checksums(*file);
      } catch (const FormatError& error) {
        damage += (damage.empty() ? "" : "; ") + std::string(error.what());
        continue;
      }
      const CheckpointInfo stored = CheckpointInfo::of(*file);
      info().require_continues(stored, path);
      state_.load_verified(*file);
      step_ = saved_step_ = stored.step;
      if (!damage.empty()) {
        // Out of the way: the next checkpoint keeps the good one as the one before.
        std::filesystem::rename(options_.checkpoint, options_.checkpoint + ".damaged", ignored);
        remark_ = "phase '" + options_.phase + "': " + damage + "; it is now '" + options_.checkpoint +
                  ".damaged', and the checkpoint before it, of step " + std::to_string(step_) + ", goes on";
      }
      return true;
    }
    require<FormatError>(damage.empty(), "phase '", options_.phase, "' cannot go on: ", damage, "; remove ",
                         io::in_quotes(options_.checkpoint), " and ",
                         io::in_quotes(previous_checkpoint(options_.checkpoint)), " to train it from the beginning");
    return false;
  }
  /// Rank 0's state on all ranks: networks that were not initialised alike would never meet again.
  void share_state() {
    if (options_.group.size() == 1 || shared_) return;
    options_.group.require_same("bytes of state", state_.bytes());
    state_.visit_bytes([&](std::span<std::byte> bytes) { options_.group.broadcast(bytes); });
    shared_ = true;
  }

  /// Prepares the step; a `LearningTask` trains its own networks, averaged over the ranks.
  template <class StepFn>
  void prepare(StepFn& step_fn) {
    if constexpr (Task<StepFn>) step_fn.prepare(step_);
    if constexpr (LearningTask<StepFn>)
      step_fn.learn([&](const auto& parameters) { dist::average_within_step(options_.group, parameters); });
  }
  /// Forward and backward pass of a prepared step; returns the loss. Throws NumericError if that is not finite.
  template <class StepFn>
  double evaluate(StepFn& step_fn, Diagnostics& diagnostics) {
    const auto result = loss_of_step(step_fn, step_);
    const Var<T, D>& loss = loss_of<T, D>(result, diagnostics);
    const auto value = static_cast<double>(widened(loss.item()));
    if (!std::isfinite(value)) stop_for("the loss is " + io::number(value));
    autograd::backward(loss);
    return value;
  }
  /// Both on all ranks, with the mean of loss and gradients.
  template <class StepFn>
  double evaluate_together(StepFn& step_fn, Diagnostics& diagnostics) {
    std::exception_ptr mine;
    bool elsewhere = false;  // another rank failed while the task trained its own networks
    const auto attempt = [&](auto&& f) {
      if (mine || elsewhere) return;
      try {
        f();
      } catch (const dist::StepFailedElsewhere&) {
        elsewhere = true;
      } catch (...) {
        mine = std::current_exception();
      }
    };
    attempt([&] { prepare(step_fn); });
    // Each average votes first whether all ranks take part; this vote is for those that failed, or are past the last.
    if constexpr (LearningTask<StepFn>)
      if (!elsewhere) elsewhere = options_.group.any(mine != nullptr);
    double value = 0;
    attempt([&] { value = evaluate(step_fn, diagnostics); });
    const dist::StepMean mean = gradients_(options_.group, value, mine != nullptr);
    if (mean.failed >= 0) options_.group.rethrow(mean.failed, mine);
    return mean.loss;
  }

  template <class StepFn, class Finished>
  void one_step(StepFn& step_fn, Finished& finished) {
    optimizer_.zero_grad();
    Diagnostics diagnostics;
    double value = 0;
    if (options_.group.size() == 1) {
      prepare(step_fn);
      value = evaluate(step_fn, diagnostics);
    } else {
      value = evaluate_together(step_fn, diagnostics);
    }
    double norm = 0;
    try {
      norm = optim::grad_norm(parameters_);
    } catch (const NumericError& error) {
      stop_for(error.what());
    }
    const double rate = options_.learning_rate(step_);
    optimizer_.step(rate, optim::clip_factor(norm, options_.clip));
    if (ema_) ema_->update();
    ++step_;
    finished(value, rate, norm, diagnostics);
  }

  static constexpr bool on_gpu = ops::launch::KernelDevice<D>;
  template <class StepFn>
  auto deferred_steps() {
    std::optional<std::conditional_t<on_gpu, DeferredSteps<T, D>, bool>> out;
    if constexpr (on_gpu) {
      const dist::Group& group = options_.group;
      // A task's own networks are averaged by the host.
      if (group.size() == 1 || (group.reduces_device() && !LearningTask<StepFn>))
        out.emplace(optimizer_, ema_ ? &*ema_ : nullptr, options_.clip,
                    std::min<std::int64_t>(options_.log_every, 1000), parameters_, group);
    }
    return out;
  }
  [[noreturn]] void stop_deferred(const BadStep& bad) {
    step_ -= bad.undone;
    if (bad.failed >= 0) options_.group.rethrow(bad.failed, bad.error);
    if (std::isfinite(bad.loss)) stop_for("the gradient norm is " + io::number(bad.norm));
    stop_for("the loss is " + io::number(bad.loss) + (bad.rank < 0 ? "" : ", from rank " + std::to_string(bad.rank)));
  }

  void save_checkpoint(const Hooks& hooks) {
    if (options_.checkpoint.empty()) return;
    options_.group.on_root([&] {
      try {
        state_.save(options_.checkpoint, info().metadata(), previous_checkpoint(options_.checkpoint));
      } catch (const NumericError& error) {
        stop_for(error.what());  // no later step could repair it
      }
    });
    saved_step_ = step_;
    options_.group.on_root([&] {
      if (hooks.checkpoint) hooks.checkpoint(step_);
    });
  }

  [[noreturn]] void stop_for(const std::string& reason) const {
    std::string kept = "; no checkpoint was written yet";
    if (saved_step_ >= 0)
      kept = "; the checkpoint of step " + std::to_string(saved_step_) + " is kept in " +
             io::in_quotes(options_.checkpoint);
    const dist::Group& group = options_.group;
    const std::string rank =
        group.size() == 1 ? "" : "rank " + std::to_string(group.rank()) + " of " + std::to_string(group.size()) + ", ";
    fail<NumericError>("phase '", options_.phase, "', ", rank, "step ", step_ + 1, " of ", options_.steps, ": ", reason,
                       kept);
  }

  TrainOptions options_;
  optim::ParameterList<T, D> parameters_;
  optim::AdamW<T, D> optimizer_;
  std::optional<optim::Ema<T, D>> ema_;
  dist::GradientMean<T, D> gradients_;
  State state_;
  std::int64_t step_ = 0, saved_step_ = -1;
  bool shared_ = false;
  std::string remark_;  ///< for the progress of `run`
};

/// Trains `parameters` from the beginning, or from `options.checkpoint` if that exists and `resume` is set. With
/// `options.ema` the parameters end as their averages.
template <class T, class D, class StepFn>
TrainReport train(const TrainOptions& options, const optim::ParameterList<T, D>& parameters, StepFn&& step_fn,
                  const Progress& progress = {}, const Hooks& hooks = {}, bool resume = false) {
  Trainer<T, D> trainer(options, parameters);
  if (resume) trainer.resume();
  const TrainReport out = trainer.run(step_fn, progress, hooks);
  if (options.ema) trainer.ema().copy_to_parameters();
  return out;
}

}  // namespace hypersd::pipeline
