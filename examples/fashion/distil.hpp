// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sample.hpp"

#include <functional>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/distances/hybrid.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <hypersd/pipeline/stage_runner.hpp>

namespace fashion {

using Critic = distill::FeatureCritic<Net, nn::Discriminator<float>>;
using Step = pipeline::StageStep<Net>;
using StageLoss = std::function<distill::LossResult<float, Cpu>(const Step&)>;

/// The TSCD loss of a batch in the distance that the options name.
inline StageLoss stage_loss(const Options& o, const Dataset& dataset, const Latents& latents,
                            const nn::TextEncoder<float>& text, Critic* critic) {
  const data::Batches batches(latents.values.dim(0), o.distill_batch, o.seed + 1);
  return [=, &o, &dataset, &latents, &text](const Step& step) {
    const auto ids = batches(step.iteration);
    const distill::Batch<float, Cpu, Condition> batch{
        take(latents.values, ids), condition_of(text, dataset.captions(dataset.images.train.labels(ids)))};
    const auto loss = [&](auto metric) {
      // A student of the stage before has guidance in its weights.
      const double low = step.guided ? o.guidance_min : 1, high = step.guided ? o.guidance_max : 1;
      const distill::Consistency<distill::WithinSegments<>, diffusion::Epsilon, decltype(metric)> tscd(
          diffusion::noise_table<diffusion::ScaledLinear>(), {40, low, high, o.noise_offset, o.jump_exponent},
          std::move(metric), {step.k});
      return tscd.loss(step.student, step.teacher, step.target, batch, {o.seed, step.iteration});
    };
    if (o.distance == "huber") return loss(distill::Huber{});
    if (o.distance == "hybrid") {
      using Hybrid = distill::Hybrid<distill::Mse, distill::Adversarial<Critic>>;
      return loss(Hybrid{{}, {critic}, distill::hybrid_weights(step.k, o.adversarial_weight)});
    }
    return loss(distill::Mse{});
  };
}

/// Trains an adapter through the stages `segments`: TSCD for 8, 4, 2, 1, or TCD for one stage with k = 1. `name`
/// prefixes the phases. Returns the student: the teacher with the adapter.
template <class Policy>
Net distil_as(const Run& run, const Dataset& dataset, const Latents& latents, const Teacher& teacher,
              const std::string& name, const std::vector<int>& segments, const std::vector<std::int64_t>& iterations) {
  const Options& o = run.options;
  nn::DiscriminatorConfig heads{.feature_channels = teacher.unet.feature_channels(), .hidden = o.channels};
  nn::Discriminator<float> discriminator(heads);
  nn::init_parameters(discriminator, o.seed, "critic");
  Critic critic(teacher.unet, discriminator, o.critic_lr);
  pipeline::StageRunner<Policy, Net> runner(teacher.unet, {.rank = o.rank}, o.seed, o.ema_target);
  std::size_t stage = 0;
  const auto options = [&](int k) {
    pipeline::TrainOptions t;
    t.phase = name + " k=" + std::to_string(k);
    t.steps = iterations[stage++];
    t.adamw.weight_decay = 0;
    t.learning_rate = optim::FlatThenLinear{o.distill_lr, t.steps, 0.3};
    t.seed = o.seed;
    t.checkpoint = run.directory.checkpoint(t.phase);
    t.checkpoint_every = o.checkpoint_every;
    return t;
  };
  const auto train = [&](pipeline::Trainer<float>& trainer, auto&& step) { run.run_trainer(trainer, step); };
  const auto extend = [&](int, pipeline::Trainer<float>& trainer) {
    if (o.distance == "hybrid") trainer.state().add("critic.", critic);
  };
  runner.run(segments, options, train, stage_loss(o, dataset, latents, teacher.text, &critic), extend);
  return runner.student();
}

inline Net distil(const Run& run, const Dataset& dataset, const Latents& latents, const Teacher& teacher,
                  const std::string& name, const std::vector<int>& segments,
                  const std::vector<std::int64_t>& iterations) {
  const auto as = [&]<class Policy>(Policy) {
    return distil_as<Policy>(run, dataset, latents, teacher, name, segments, iterations);
  };
  return run.options.teacher_policy == "previous" ? as(distill::PreviousStageTeacher{})
                                                  : as(distill::OriginalTeacher{});
}

}  // namespace fashion
