// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "counted.hpp"
#include "options.hpp"

#include <fashion/evaluate.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/pipeline/stage_runner.hpp>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace compare {

using Condition = fashion::Condition<Cpu>;
using Net = fashion::Net<Cpu>;
using Model = Counted<Net>;
using Batch = distill::Batch<float, Cpu, Condition>;
using Loss = distill::LossResult<float, Cpu>;
using Step = pipeline::StageStep<Model>;

/// One seed's world, shared by all methods.
struct Seed {
  const StudyOptions& options;
  const fashion::Run& run;
  const fashion::Dataset& data;
  const fashion::Latents<Cpu>& latents;
  const fashion::Teacher<Cpu>& teacher;

  [[nodiscard]] std::uint64_t seed() const { return run.options.seed; }
  /// Training batch of an iteration: the same for every method.
  [[nodiscard]] Batch batch(std::int64_t iteration) const {
    const data::Batches batches(latents.values.dim(0), run.options.distill_batch, seed() + 1);
    const auto ids = batches(iteration);
    return {fashion::take(latents.values, ids),
            fashion::condition_of(teacher.text, data.captions(data.images.train.labels(ids)))};
  }
};

/// How a method spends its budget: a stage for each k, in equal parts.
struct Plan {
  std::vector<int> stages = {1};
  /// Network evaluations for each sample of an iteration in stage k, in the units of `Evaluations::cost`.
  std::function<double(int k)> cost = [](int) { return 6.0; };
  double learning_rate = 1e-3;
  double before = 0;  ///< evaluations spent before the first iteration

  [[nodiscard]] std::int64_t iterations(const StudyOptions& o, int k) const {
    require<OptionError>(before < 1000 * o.budget, "--budget: ", o.budget, " thousand evaluations; ", before / 1000,
                         " thousand are spent before training begins (--pairs)");
    const double share = (1000 * o.budget - before) / static_cast<double>(stages.size());
    return std::max<std::int64_t>(4, std::llround(share / (cost(k) * static_cast<double>(o.base.distill_batch))));
  }
};

/// What training gives: the student after the last stage, and after each.
struct Trained {
  Net last;
  std::map<int, Net> stages = {};
  double spent = 0;    ///< evaluations counted in this process
  double planned = 0;  ///< evaluations that the plan says
  std::int64_t iterations = 0;
};

/// State beside the student that a method's loss changes (a critic, a fake score); none by default.
using Extend = std::function<void(pipeline::Trainer<float>&)>;

/// Trains an adapter on the teacher through the plan's stages with `loss(step, batch)`. `teacher` is the method's own
/// handle: what it has counted is the method's cost.
template <class Policy, class LossFn>
Trained train_stages(const Seed& s, const std::string& name, const Plan& plan, const Model& teacher, LossFn&& loss,
                     const Extend& extend = {}) {
  const fashion::Options& o = s.run.options;
  pipeline::StageRunner<Policy, Model> runner(teacher, {.rank = o.rank}, o.seed, o.ema_target);
  Trained out;
  const auto options = [&](int k) {
    pipeline::TrainOptions t;
    t.phase = name + (plan.stages.size() > 1 ? " k=" + std::to_string(k) : "");
    t.steps = plan.iterations(s.options, k);
    t.adamw.weight_decay = 0;
    t.learning_rate = optim::FlatThenLinear{plan.learning_rate, t.steps, 0.3};
    t.seed = o.seed;
    t.checkpoint = s.run.directory.checkpoint(t.phase);
    t.checkpoint_every = o.checkpoint_every;
    out.iterations += t.steps;
    out.planned += plan.cost(k) * static_cast<double>(t.steps * o.distill_batch);
    return t;
  };
  std::size_t stage = 0;
  const auto train = [&](pipeline::Trainer<float>& trainer, auto&& step) {
    s.run.run_trainer(trainer, step);
    out.last = nn::merge_lora(runner.student()).net;
    out.stages.insert_or_assign(plan.stages[stage++], out.last);
  };
  const auto grow = [&](int, pipeline::Trainer<float>& trainer) {
    if (extend) extend(trainer);
  };
  runner.run(
      plan.stages, options, train, [&](const Step& step) { return loss(step, s.batch(step.iteration)); }, grow);
  out.spent = teacher.count->cost();
  out.planned += plan.before;
  return out;
}

}  // namespace compare
