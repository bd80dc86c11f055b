// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

#include <hypersd/nn/state.hpp>
#include <hypersd/pipeline/session.hpp>

namespace fashion {

using namespace hypersd;

/// What every phase of a run needs: options, folder, progress.
struct Run {
  const Options& options;
  records::RunDirectory& directory;
  Progress progress;

  [[nodiscard]] pipeline::Session session() const {
    return {directory, options.seed, progress, options.checkpoint_every, {}, pipeline::StopOnSignal::stop};
  }
  /// Trains `parameters` as phase `o.phase`; a finished phase only loads its result.
  template <Device D, class StepFn>
  void train(const pipeline::TrainOptions& o, const optim::ParameterList<float, D>& parameters, StepFn&& step) const {
    session().train(o, parameters, step);
  }
};

/// The trainable parameters of a network for the optimiser.
template <class M>
optim::ParameterList<float, typename M::device_type> trainable(M& net, const std::string& prefix = "") {
  optim::ParameterList<float, typename M::device_type> list;
  for (auto& p : nn::parameters(net, prefix))
    if (p.var.requires_grad()) list.push_back({p.name, p.var});
  return list;
}

}  // namespace fashion
