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
#include <type_traits>
#include <vector>

namespace compare {

template <Device D>
using Condition = fashion::Condition<D>;
template <Device D>
using Net = fashion::Net<D>;
template <Device D>
using Model = Counted<Net<D>>;
template <Device D>
using Batch = distill::Batch<float, D, Condition<D>>;
template <Device D>
using Step = pipeline::StageStep<Model<D>>;

/// One seed's world, shared by all methods.
template <Device D>
struct Seed {
  const StudyOptions& options;
  const fashion::Run& run;
  const fashion::Dataset& data;
  const fashion::Latents<D>& latents;
  const fashion::Teacher<D>& teacher;

  [[nodiscard]] std::uint64_t seed() const { return run.options.seed; }
  /// Training batch of an iteration: the same for every method.
  [[nodiscard]] Batch<D> batch(std::int64_t iteration) const {
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
template <Device D>
struct Trained {
  Net<D> last;
  std::map<int, Net<D>> stages = {};
  double spent = 0;    ///< evaluations counted in this process
  double planned = 0;  ///< evaluations that the plan says
  std::int64_t iterations = 0;
};

/// State beside the student that a method's loss changes (a critic, a fake score); none by default.
template <Device D>
using Extend = std::function<void(pipeline::Trainer<float, D>&)>;

/// Trains an adapter on the teacher through the plan's stages with `loss(step, batch)`. `teacher` is the method's own
/// handle: what it has counted is the method's cost.
template <class Policy, Device D, class LossFn>
Trained<D> train_stages(const Seed<D>& s, const std::string& name, const Plan& plan, const Model<D>& teacher,
                        LossFn&& loss, const std::type_identity_t<Extend<D>>& extend = {}) {
  const fashion::Options& o = s.run.options;
  pipeline::StageRunner<Policy, Model<D>> runner(teacher, {.rank = o.rank}, o.seed, o.ema_target);
  Trained<D> out;
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
  const auto train = [&](pipeline::Trainer<float, D>& trainer, auto&& step) {
    s.run.run_trainer(trainer, step);
    out.last = nn::merge_lora(runner.student()).net;
    out.stages.insert_or_assign(plan.stages[stage++], out.last);
  };
  const auto grow = [&](int, pipeline::Trainer<float, D>& trainer) {
    if (extend) extend(trainer);
  };
  runner.run(
      plan.stages, options, train, [&](const Step<D>& step) { return loss(step, s.batch(step.iteration)); }, grow);
  out.spent = teacher.count->cost();
  out.planned += plan.before;
  return out;
}

}  // namespace compare
