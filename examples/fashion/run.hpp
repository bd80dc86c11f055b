// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

#include <hypersd/nn/state.hpp>
#include <hypersd/pipeline/loss_log.hpp>
#include <hypersd/pipeline/run_state.hpp>
#include <hypersd/pipeline/train_loop.hpp>

namespace fashion {

using namespace hypersd;

/// What every phase of a run needs: options, folder, progress.
struct Run {
  const Options& options;
  pipeline::RunDirectory& directory;
  Progress progress;

  /// Trains `parameters` as phase `name`: loss curve, checkpoints, resumption. A finished phase only loads its result.
  template <class StepFn>
  void train(pipeline::TrainOptions o, const optim::ParameterList<float>& parameters, StepFn&& step) const {
    o.seed = options.seed;
    o.checkpoint = directory.checkpoint(o.phase);
    o.checkpoint_every = options.checkpoint_every;
    pipeline::Trainer<float> trainer(o, parameters);
    trainer.resume();
    run_trainer(trainer, step);
  }
  /// The same for a trainer whose state the caller has extended.
  template <class StepFn>
  void run_trainer(pipeline::Trainer<float>& trainer, StepFn&& step) const {
    const auto& o = trainer.options();
    if (trainer.step() < o.steps) {
      pipeline::LossLog log(directory.loss_log(o.phase), trainer.step());
      pipeline::Hooks hooks;
      hooks.log = [&](const pipeline::LogRow& row) { log.add(row); };
      const auto report = trainer.run(step, progress, hooks);
      directory.mark_done(o.phase,
                          {{"seconds", std::to_string(report.seconds)}, {"loss", std::to_string(report.loss)}});
    }
    if (o.ema) trainer.ema().copy_to_parameters();
  }
};

/// The trainable parameters of a network for the optimiser.
template <class Net>
optim::ParameterList<float> trainable(Net& net, const std::string& prefix = "") {
  optim::ParameterList<float> list;
  for (auto& p : nn::parameters(net, prefix))
    if (p.var.requires_grad()) list.push_back({p.name, p.var});
  return list;
}

}  // namespace fashion
