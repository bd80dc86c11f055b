// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sample.hpp"

#include <hypersd/data/scenes.hpp>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/distances/hybrid.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/feedback/instance.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <hypersd/pipeline/recipe.hpp>

#include <variant>

namespace fashion {

using Critic = distill::FeatureCritic<Net, nn::Discriminator<float>>;
using Batch = feedback::AnnotatedBatch<float, Cpu, Condition>;
using State = pipeline::RecipeState<Net>;

/// Latents of real images with their captions, in an order of the seed's.
struct RealBatches {
  const Dataset& dataset;
  const Latents& latents;
  const nn::TextEncoder<float>& text;
  data::Batches order;

  RealBatches(const Run& run, const Dataset& d, const Latents& l, const nn::TextEncoder<float>& t)
      : dataset(d), latents(l), text(t), order(l.values.dim(0), run.options.distill_batch, run.options.seed + 1) {}
  Batch operator()(std::int64_t iteration) const {
    const auto ids = order(iteration);
    const auto labels = dataset.images.train.labels(ids);
    return {{take(latents.values, ids), condition_of(text, dataset.captions(labels))}, objects(ids, labels)};
  }

 private:
  /// Each picture shows one object: its bright pixels.
  [[nodiscard]] std::vector<Instances> objects(const std::vector<std::int64_t>& ids,
                                               const Tensor<std::int32_t>& labels) const {
    const auto images = dataset.images.train.images(ids);
    const std::int64_t pixels = images.shape().numel_from(1);
    std::vector<Instances> out;
    for (std::int64_t b = 0; b < images.dim(0); ++b) {
      Instance one{labels[b], Tensor<std::uint8_t>(Shape{images.dim(1), images.dim(2)})};
      for (std::int64_t i = 0; i < pixels; ++i)
        one.mask[i] = images[b * pixels + i] > data::SceneOptions{}.threshold ? 1 : 0;
      out.push_back({std::move(one)});
    }
    return out;
  }
};

/// The distance that the options name.
struct ChosenDistance {
  using Hybrid = distill::Hybrid<distill::Mse, distill::Adversarial<Critic>>;
  std::variant<distill::Mse, distill::Huber, Hybrid> metric{};

  template <class Where>
  Var<float> operator()(const Var<float>& x, const Tensor<float>& y, const Where& where) const {
    return std::visit([&](const auto& d) -> Var<float> { return d(x, y, where); }, metric);
  }
};

/// The critic of the hybrid distance: heads on the teacher's features.
inline Critic make_critic(const Run& run, const Teacher& teacher) {
  const nn::DiscriminatorConfig heads{.feature_channels = teacher.unet.feature_channels(),
                                      .hidden = run.options.channels};
  nn::Discriminator<float> discriminator(heads);
  nn::init_parameters(discriminator, run.options.seed, "critic");
  return {teacher.unet, discriminator, run.options.critic_lr};
}

/// TSCD through the options' stages, or TCD for one stage with k = 1. `name` prefixes the phases.
template <class Policy>
auto tscd_part(const Run& run, const RealBatches& batches, Critic& critic, const std::string& name,
               const std::vector<int>& segments, const std::vector<std::int64_t>& iterations) {
  const Options& o = run.options;
  pipeline::TscdStages<RealBatches, distill::HyperSdStages, ChosenDistance, Policy> part{
      .name = name, .batches = batches, .table = noise_table()};
  part.consistency = {40, o.guidance_min, o.guidance_max, o.noise_offset, o.jump_exponent};
  part.steps = iterations;
  part.segments = segments;
  part.learning_rate = o.distill_lr;
  part.lora.rank = o.rank;
  part.ema_target = o.ema_target;
  part.metric = [&critic, distance = o.distance, weight = o.adversarial_weight](int k) -> ChosenDistance {
    if (distance == "huber") return {distill::Huber{}};
    if (distance == "hybrid") return {ChosenDistance::Hybrid{{}, {&critic}, distill::hybrid_weights(k, weight)}};
    return {};
  };
  if (o.distance == "hybrid") part.extend = [&critic](pipeline::State& state) { state.add("critic.", critic); };
  return part;
}

/// TCD (k = 1 throughout) with as many iterations, for comparison.
inline Net distil_rival(const Run& run, const RealBatches& batches, const Teacher& teacher, std::int64_t iterations) {
  Critic critic = make_critic(run, teacher);
  State state{teacher.unet, teacher.unet};
  tscd_part<distill::OriginalTeacher>(run, batches, critic, "tcd", {1}, {iterations}).run(run.session(), state);
  return state.student;
}

}  // namespace fashion
