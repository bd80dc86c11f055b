// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/pipeline/stop.hpp>
#include <hypersd/pipeline/train_loop.hpp>
#include <hypersd/records/directory.hpp>
#include <memory>
#include <utility>

namespace hypersd::pipeline {

/// A run's folder, seed and progress: what every phase of it needs to be resumed. With several processes all of them
/// make the same calls; the folder is rank 0's.
struct Session {
  records::RunDirectory& directory;
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
  /// The loss curve of a phase that goes on from `step`.
  [[nodiscard]] Hooks hooks(const std::string& phase, std::int64_t step) const {
    std::shared_ptr<records::LossLog> log;
    group.on_root([&] { log = std::make_shared<records::LossLog>(directory.loss_log(phase), step); });
    return {.log = [log](const records::LogRow& row) { log->add(row); }, .stop = stop};
  }
  /// Remembers a phase as finished. Throws Stopped if `stop` has ended it before.
  void done(const std::string& phase, std::int64_t steps, const TrainReport& report) const {
    require<Stopped>(!report.stopped, "stopped in phase '", phase, "' after step ", report.step, " of ", steps,
                     "; its checkpoint is ", io::in_quotes(directory.checkpoint(phase)),
                     ", from which a resumed run goes on");
    directory.mark_done(phase, {{"seconds", std::to_string(report.seconds)}, {"loss", std::to_string(report.loss)}});
  }

  /// Trains `parameters` as phase `o.phase`: loss curve, checkpoints, resumption. A finished phase only loads its
  /// result. With `o.ema` the parameters end as their averages.
  template <class T, class D, class Step>
  void train(const TrainOptions& o, const optim::ParameterList<T, D>& parameters, Step&& step) const {
    Trainer<T, D> trainer(placed(o), parameters);
    trainer.resume();
    if (!trainer.finished()) done(o.phase, o.steps, trainer.run(step, progress, hooks(o.phase, trainer.step())));
    trainer.release();
  }
};

}  // namespace hypersd::pipeline
