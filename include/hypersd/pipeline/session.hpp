// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/pipeline/loss_log.hpp>
#include <hypersd/pipeline/run_state.hpp>
#include <hypersd/pipeline/stop.hpp>
#include <hypersd/pipeline/train_loop.hpp>
#include <utility>

namespace hypersd::pipeline {

/// A run's folder, seed and progress: what every phase of it needs to be resumed. With several processes all of them
/// make the same calls; the folder is rank 0's.
struct Session {
  RunDirectory& directory;
  std::uint64_t seed = 0;
  Progress progress{};
  std::int64_t checkpoint_every = 200;
  dist::Group group{};                            ///< the processes that train together
  std::function<bool(std::int64_t step)> stop{};  ///< `Hooks::stop` of every phase, e.g. `StopOnSignal::stop`

  /// Randomness of iteration `step` for `batch`, which is this process's part of the whole batch (`dist::slice`).
  template <class Batch>
  [[nodiscard]] diffusion::Randomness randomness(std::int64_t step, const Batch& batch) const {
    return {seed, step, group.rank() * batch.x0.dim(0)};
  }

  /// `o` with the seed and the phase's place in the folder.
  [[nodiscard]] TrainOptions placed(TrainOptions o) const {
    o.seed = seed;
    o.group = group;
    o.checkpoint = directory.checkpoint(o.phase);
    o.checkpoint_every = checkpoint_every;
    return o;
  }
  /// Trains `parameters` as phase `o.phase`: loss curve, checkpoints, resumption. A finished phase only loads its
  /// result. With `o.ema` the parameters end as their averages.
  template <class T, class D, class StepFn>
  void train(TrainOptions o, const optim::ParameterList<T, D>& parameters, StepFn&& step) const {
    Trainer<T, D> trainer(placed(std::move(o)), parameters);
    trainer.resume();
    finish(trainer, step);
  }
  /// The rest of a phase whose trainer was made from `placed` options, extended and resumed by the caller. Throws
  /// Stopped if `stop` asked for it.
  template <class T, class D, class StepFn>
  void finish(Trainer<T, D>& trainer, StepFn&& step) const {
    const TrainOptions& o = trainer.options();
    if (trainer.step() < o.steps) {
      std::optional<LossLog> log;
      group.on_root([&] { log.emplace(directory.loss_log(o.phase), trainer.step()); });
      Hooks hooks;
      hooks.log = [&](const LogRow& row) { log->add(row); };
      hooks.stop = stop;
      const auto report = trainer.run(step, progress, hooks);
      require<Stopped>(!report.stopped, "stopped in phase '", o.phase, "' after step ", report.step, " of ", o.steps,
                       "; its checkpoint is ", io::in_quotes(o.checkpoint), ", from which a resumed run goes on");
      directory.mark_done(o.phase,
                          {{"seconds", std::to_string(report.seconds)}, {"loss", std::to_string(report.loss)}});
    }
    if (o.ema) trainer.ema().copy_to_parameters();
    Memory<D>::release_pool();  // blocks of this phase's sizes are of little use to the next
  }
};

}  // namespace hypersd::pipeline
