// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cmath>
#include <exception>
#include <filesystem>
#include <functional>
#include <hypersd/core/graph.hpp>
#include <hypersd/core/located_error.hpp>
#include <hypersd/core/progress.hpp>
#include <hypersd/dist/deferred_mean.hpp>
#include <hypersd/dist/gradients.hpp>
#include <hypersd/optim/enqueued_steps.hpp>
#include <hypersd/optim/schedule.hpp>
#include <hypersd/pipeline/task.hpp>
#include <hypersd/records/checkpoint.hpp>
#include <hypersd/records/loss_log.hpp>
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
  bool capture = true;                     ///< whether a `CapturableTask` on a GPU becomes a CUDA graph
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

/// What a training loop calls besides the task. With several processes `log` is called on rank 0, `stop` on every rank.
struct Hooks {
  /// Every `TrainOptions::log_every` steps, and before each checkpoint.
  std::function<void(const records::LogRow&)> log{};
  /// Asked after every step, with the updates done: true on any rank ends the run on all, after a last checkpoint.
  std::function<bool(std::int64_t step)> stop{};
};

/// The training loop: loss, backward, clipping, AdamW, average, log, checkpoint. A step is a `Task`, or a function of
/// the number of updates done so far. If it draws all its data and noise from (seed, step), a run that was killed and
/// resumed gives bitwise the parameters of an uninterrupted one.
///
/// The host enqueues steps and looks at their outcome later: on a CPU after each, on a GPU when a line of the loss
/// curve is due (`optim::EnqueuedSteps`). A step that is not finite, and those enqueued after it, have not changed the
/// parameters. A `CapturableTask` of one process on a GPU becomes one CUDA graph a step.
///
/// With several processes in `TrainOptions::group` each runs the task on its part of the batch (`dist::slice`); losses
/// and gradients are averaged before clipping, also those of what a `LearningTask` trains. Rank 0 alone writes, logs
/// and reports; the others begin with its state. A step that throws on one rank throws on all, a CommunicationError
/// naming it on the others, and the parameters are those before it. The hosts wait for each step unless the group
/// reduces device memory (`dist::Nccl`) and the task trains nothing of its own.
template <Floating T, Device D = Cpu>
class Trainer {
 public:
  /// Keeps handles to `parameters`. Throws OptionError for options out of range.
  Trainer(TrainOptions options, optim::ParameterList<T, D> parameters)
      : options_(std::move(options)), parameters_(std::move(parameters)), optimizer_(parameters_, options_.adamw) {
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
  [[nodiscard]] optim::AdamW<T, D>& optimizer() { return optimizer_; }
  /// The average; throws OptionError if the options ask for none.
  [[nodiscard]] optim::Ema<T, D>& ema() {
    require<OptionError>(ema_.has_value(), "phase '", options_.phase, "' keeps no average");
    return *ema_;
  }
  /// What a checkpoint holds. Add here what else the task changes (a discriminator, its optimiser).
  [[nodiscard]] records::State& state() { return state_; }
  /// Whether no step is left to do.
  [[nodiscard]] bool finished() const { return step_ == options_.steps; }
  /// After the last step: with an average the parameters become that, and cached memory is released, of which the next
  /// phase can use little.
  void release() {
    if (ema_) ema_->copy_to_parameters();
    Memory<D>::release_pool();
  }

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

  /// Trains to the end (or to `Hooks::stop`). Throws NumericError naming phase and step if loss or gradient are not
  /// finite: the parameters are those before that step, and the last checkpoint stays. An error of the task is thrown
  /// again with phase, step and checkpoint in its message (`rethrow_with_place`).
  template <class StepFn>
  TrainReport run(StepFn&& task, const Progress& progress = {}, const Hooks& hooks = {}) {
    using F = std::remove_cvref_t<StepFn>;
    constexpr bool capturable = on_gpu && CapturableTask<F>;
    const dist::Group& group = options_.group;
    group.require_same("steps done", step_);
    group.require_same("steps to do", options_.steps);
    const bool may_stop = group.any(static_cast<bool>(hooks.stop));
    share_state();
    TrainReport out{step_, step_, std::nan(""), 0, false};
    const auto begin = std::chrono::steady_clock::now();
    if (group.root()) notify(progress, {options_.phase, step_, options_.steps, {}, std::exchange(remark_, {})});
    Enqueued enqueued(*this, LearningTask<F>);
    Graph<D> graph;
    while (step_ < options_.steps && !out.stopped) {
      const double rate = options_.learning_rate(step_);
      enqueued.update.prepare(rate);
      diffusion::Readings diagnostics;
      if (capturable && options_.capture && group.size() == 1) {
        if constexpr (capturable) {
          task.prepare(step_);
          // What is created at its first use (handles, pools) must exist before a graph is recorded.
          constexpr std::int64_t warm_up = 2;
          if (step_ - out.first_step < warm_up)
            forward_backward_update(task, enqueued.update);
          else if (!graph.defined())
            graph = Graph<D>([&] { forward_backward_update(task, enqueued.update); });
          if (graph.defined()) graph.launch();
        }
      } else {
        Tensor<T, D> loss;  // undefined: the step has failed on this rank, or on another before its loss
        bool votes = LearningTask<F> && group.size() > 1;
        if (!enqueued.error) try {
            optimizer_.zero_grad();
            if constexpr (Task<F>) task.prepare(step_);
            if constexpr (LearningTask<F>) {
              task.learn([&](const auto& parameters) { dist::average_within_step(group, parameters); });
              if (votes) dist::go_on(group);
              votes = false;
            }
            if constexpr (Task<F>)
              loss = backward(task.loss(), diagnostics);
            else
              loss = backward(task(step_), diagnostics);
          } catch (const dist::StepFailedElsewhere&) {
          } catch (...) {
            if (group.size() == 1) rethrow_located();
            try {
              rethrow_located();
            } catch (...) {
              enqueued.error = std::current_exception();
            }
            enqueued.failed_at = enqueued.update.pending();
            if (votes) (void)group.any(true);
          }
        enqueued.mean ? enqueued.update.enqueue((*enqueued.mean)(loss)) : enqueued.update.enqueue(loss);
      }
      enqueued.update.done();
      enqueued.steps.emplace_back(rate, std::move(diagnostics));
      ++step_;

      const bool stops = enqueued.error || (hooks.stop && hooks.stop(step_));
      out.stopped = may_stop && group.any(stops) && step_ < options_.steps;
      const bool save = step_ == options_.steps || out.stopped ||
                        (options_.checkpoint_every > 0 && step_ % options_.checkpoint_every == 0);
      const bool line = save || step_ % options_.log_every == 0;
      const bool known = line || enqueued.update.pending() == enqueued.capacity;
      if (known) enqueued.synchronize();
      // The line goes before the checkpoint: a resumed run cuts later lines off and so has each one once.
      if (line) {
        const records::LogRow row = records::row_mean(group, enqueued.window.take(options_.phase, step_));
        out.loss = row.loss;
        group.on_root([&] {
          if (hooks.log) hooks.log(row);
        });
      }
      if (save) save_checkpoint();
      if (known && group.root())
        notify(progress, {options_.phase, step_, options_.steps, enqueued.smooth / enqueued.weight, {}});
    }
    optim::zero_grad(parameters_);
    out.step = step_;
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return out;
  }

 private:
  static constexpr bool on_gpu = ops::launch::KernelDevice<D>;

  /// Steps that the host has enqueued, until it looks at their outcome.
  struct Enqueued {
    Trainer& trainer;
    std::int64_t capacity;
    optim::EnqueuedSteps<T, D> update;
    std::optional<dist::DeferredMean<T, D>> mean{};               ///< over several ranks
    std::vector<std::pair<double, diffusion::Readings>> steps{};  ///< learning rates and diagnostics
    std::exception_ptr error{};                                   ///< of the step that has failed here
    std::int64_t failed_at = -1;                                  ///< its number since the last `synchronize`
    records::LogWindow window{};                                  ///< steps that have been looked at
    double smooth = 0, weight = 0;  ///< loss shown in progress: a mean over about 20 steps

    Enqueued(Trainer& t, bool learns)
        : trainer(t),
          capacity(on_gpu && (t.group().size() == 1 || (t.group().reduces_device() && !learns))
                       ? std::min<std::int64_t>(t.options_.log_every, 1000)
                       : 1),
          update(t.optimizer_, t.ema_ ? &*t.ema_ : nullptr, t.options_.clip, capacity,
                 t.group().size() == 1 ? optim::EnqueuedSteps<T, D>::Gradients::own
                                       : optim::EnqueuedSteps<T, D>::Gradients::flat) {
      if (t.group().size() > 1) mean.emplace(t.parameters_, t.group());
    }
    /// Looks at the steps since the last time. Throws for the first that was not finite or failed on a rank. All ranks
    /// call it.
    void synchronize() {
      const auto result = update.synchronize();
      const std::size_t good = result.bad < 0 ? steps.size() : static_cast<std::size_t>(result.bad);
      for (std::size_t i = 0; i < good; ++i) {
        window.add(result.losses[i], steps[i].first, result.norms[i], steps[i].second);
        smooth = 0.95 * smooth + 0.05 * result.losses[i];
        weight = 0.95 * weight + 0.05;
      }
      if (result.bad >= 0) {
        trainer.step_ -= static_cast<std::int64_t>(steps.size() - good);
        // A step that failed on a rank has the loss NaN, as others may.
        const int rank = trainer.group().first(error && failed_at == result.bad);
        if (rank >= 0) trainer.group().rethrow(rank, failed_at == result.bad ? error : nullptr);
        const double loss = result.losses[good];
        if (!std::isfinite(loss))
          trainer.stop_for("the loss is " + io::number(loss) +
                           (mean && result.part >= 0 ? ", from rank " + std::to_string(result.part) : ""));
        std::string reason = "the gradient norm is " + io::number(result.norms[good]);
        if (!mean && good + 1 == steps.size()) try {  // its gradients are still there
            (void)optim::grad_norm(trainer.parameters_);
          } catch (const NumericError& gradient) {
            reason = gradient.what();
          }
        trainer.stop_for(reason);
      }
      steps.clear();
    }
  };

  [[nodiscard]] const dist::Group& group() const { return options_.group; }
  [[nodiscard]] records::CheckpointInfo info() const { return {options_.phase, step_, options_.steps, options_.seed}; }

  bool load() {
    if (options_.checkpoint.empty()) return false;
    std::string damage;
    const auto file = records::newest_checkpoint(options_.checkpoint, options_.phase, damage);
    if (!file) return false;
    const records::CheckpointInfo stored = records::CheckpointInfo::of(*file);
    info().require_continues(stored, file->path());
    state_.load_verified(*file);
    step_ = saved_step_ = stored.step;
    if (damage.empty()) return true;
    // Out of the way: the next checkpoint keeps the good one as the one before.
    std::error_code ignored;
    std::filesystem::rename(options_.checkpoint, options_.checkpoint + ".damaged", ignored);
    remark_ = "phase '" + options_.phase + "': " + damage + "; it is now '" + options_.checkpoint +
              ".damaged', and the checkpoint before it, of step " + std::to_string(step_) + ", goes on";
    return true;
  }
  /// Rank 0's state on all ranks: networks that were not initialised alike would never meet again.
  void share_state() {
    if (options_.group.size() == 1 || shared_) return;
    options_.group.require_same("bytes of state", state_.bytes());
    state_.visit_bytes([&](std::span<std::byte> bytes) { options_.group.broadcast(bytes); });
    shared_ = true;
  }

  /// The backward pass of what a step returned: a variable, or a struct with `loss` and `diagnostics`. Returns the
  /// loss.
  template <class Result>
  static Tensor<T, D> backward(const Result& result, diffusion::Readings& diagnostics) {
    if constexpr (std::same_as<Result, Var<T, D>>) {
      autograd::backward(result);
      return result.value();
    } else {
      for (const auto& [name, value] : result.diagnostics) diagnostics.emplace_back(name, value);
      autograd::backward(result.loss);
      return result.loss.value();
    }
  }
  /// A prepared step of one process as work of the device alone.
  template <CapturableTask F>
  void forward_backward_update(F& task, optim::EnqueuedSteps<T, D>& update) {
    optimizer_.zero_grad();
    if constexpr (LearningTask<F>) task.learn(diffusion::OwnGradients{});
    diffusion::Readings ignored;
    update.enqueue(backward(task.loss(), ignored));
    optimizer_.zero_grad();  // gradients of a graph are its own memory
  }

  void save_checkpoint() {
    if (options_.checkpoint.empty()) return;
    options_.group.on_root([&] {
      try {
        state_.save(options_.checkpoint, info().metadata(), records::previous_checkpoint(options_.checkpoint));
      } catch (const NumericError& error) {
        stop_for(error.what());  // no later step could repair it
      }
    });
    saved_step_ = step_;
  }

  /// "phase 'p', rank r of n, step s of t: REASON; which checkpoint is kept", of the step that is being done.
  [[nodiscard]] std::string located(const std::string& reason) const {
    const dist::Group& group = options_.group;
    std::string text = "phase '" + options_.phase + "', ";
    if (group.size() > 1) text += "rank " + std::to_string(group.rank()) + " of " + std::to_string(group.size()) + ", ";
    text += "step " + std::to_string(step_ + 1) + " of " + std::to_string(options_.steps) + ": " + reason;
    if (saved_step_ < 0) return text + "; no checkpoint was written yet";
    return text + "; the checkpoint of step " + std::to_string(saved_step_) + " is kept in " +
           io::in_quotes(options_.checkpoint);
  }
  [[noreturn]] void stop_for(const std::string& reason) const { throw NumericError(located(reason)); }
  [[noreturn]] void rethrow_located() const {
    rethrow_with_place([this](const std::string& reason) { return located(reason); });
  }

  TrainOptions options_;
  optim::ParameterList<T, D> parameters_;
  optim::AdamW<T, D> optimizer_;
  std::optional<optim::Ema<T, D>> ema_;
  records::State state_;
  std::int64_t step_ = 0, saved_step_ = -1;
  bool shared_ = false;
  std::string remark_;  ///< for the progress of `run`
};

/// Trains `parameters` from the beginning, or from `options.checkpoint` if that exists and `resume` is set. With
/// `options.ema` the parameters end as their averages.
template <class T, class D, class StepFn>
TrainReport train(const TrainOptions& options, const optim::ParameterList<T, D>& parameters, StepFn&& task,
                  const Progress& progress = {}, const Hooks& hooks = {}, bool resume = false) {
  Trainer<T, D> trainer(options, parameters);
  if (resume) trainer.resume();
  const TrainReport out = trainer.run(task, progress, hooks);
  trainer.release();
  return out;
}

}  // namespace hypersd::pipeline
