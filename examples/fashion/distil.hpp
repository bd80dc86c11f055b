// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sample.hpp"

#include <hypersd/data/scenes.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/distances/hybrid.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/feedback/instance.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <hypersd/pipeline/recipe.hpp>

#include <variant>

namespace fashion {

template <Device D>
using Critic = distill::FeatureCritic<Net<D>, nn::Discriminator<float, D>>;
template <Device D>
using Batch = feedback::AnnotatedBatch<float, D, Condition<D>>;
template <Device D>
using State = pipeline::RecipeState<Net<D>>;

/// Latents of real images with their captions, in an order of the seed's.
template <Device D>
struct RealBatches {
  const Dataset& dataset;
  const Latents<D>& latents;
  const nn::TextEncoder<float, D>& text;
  data::Batches order;

  RealBatches(const Run& run, const Dataset& d, const Latents<D>& l, const nn::TextEncoder<float, D>& t)
      : dataset(d), latents(l), text(t), order(l.values.dim(0), run.options.distill_batch, run.options.seed + 1) {}
  Batch<D> operator()(std::int64_t iteration) const {
    const auto ids = order(iteration);
    const auto labels = dataset.images.train.labels(ids);
    return {{take(latents.values, ids), condition_of(text, dataset.captions(labels))}, objects(ids, labels)};
  }

 private:
  /// Each picture shows one object: its bright pixels.
  [[nodiscard]] std::vector<data::Instances> objects(const std::vector<std::int64_t>& ids,
                                                     const Tensor<std::int32_t>& labels) const {
    const auto images = dataset.images.train.images(ids);
    const std::int64_t pixels = images.shape().numel_from(1);
    std::vector<data::Instances> out;
    for (std::int64_t b = 0; b < images.dim(0); ++b) {
      data::Instance one{labels[b], Tensor<std::uint8_t>(Shape{images.dim(1), images.dim(2)})};
      for (std::int64_t i = 0; i < pixels; ++i)
        one.mask[i] = images[b * pixels + i] > data::SceneOptions{}.threshold ? 1 : 0;
      out.push_back({std::move(one)});
    }
    return out;
  }
};

/// The distance that the options name.
template <Device D>
struct ChosenDistance {
  using Hybrid = distill::Hybrid<distill::Mse, distill::Adversarial<Critic<D>>>;
  std::variant<distill::Mse, distill::Huber, Hybrid> metric{};

  template <class Where>
  Var<float, D> operator()(const Var<float, D>& x, const Tensor<float, D>& y, const Where& where) const {
    return std::visit([&](const auto& d) -> Var<float, D> { return d(x, y, where); }, metric);
  }
  [[nodiscard]] bool learns() const {
    return std::holds_alternative<Hybrid>(metric) && std::get<Hybrid>(metric).learns();
  }
  template <class Where, class Average>
  void learn(const Tensor<float, D>& x, const Tensor<float, D>& y, const Where& where, const Average& average) const {
    if (learns()) std::get<Hybrid>(metric).learn(x, y, where, average);
  }
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    if (std::holds_alternative<Hybrid>(metric)) std::get<Hybrid>(metric).visit_state(f, prefix);
  }
};

/// The critic of the hybrid distance: heads on the teacher's features.
template <Device D>
Critic<D> make_critic(const Run& run, const Teacher<D>& teacher) {
  const nn::DiscriminatorConfig heads{.feature_channels = teacher.unet.feature_channels(),
                                      .hidden = run.options.channels};
  nn::Discriminator<float, D> discriminator(heads);
  nn::init_parameters(discriminator, run.options.seed, "critic");
  return {teacher.unet, discriminator, run.options.critic_lr};
}

/// TSCD through the options' stages, or TCD for one stage with k = 1. `name` prefixes the phases. [Hyper-SD Eq. 12]
template <Device D>
auto tscd_part(const Run& run, const RealBatches<D>& batches, Critic<D>& critic, const std::string& name,
               const std::vector<int>& segments, const std::vector<std::int64_t>& iterations) {
  const Options& o = run.options;
  const auto distance = [&](int k) -> ChosenDistance<D> {
    if (o.distance == "huber") return {distill::Huber{}};
    if (o.distance == "hybrid")
      return {typename ChosenDistance<D>::Hybrid{{}, {&critic}, distill::hybrid_weights(k, o.adversarial_weight)}};
    return {};
  };
  using Rule = distill::WithinSegments<>;
  using Tscd = distill::Consistency<Rule, Process, ChosenDistance<D>>;
  return pipeline::staged(
      name, segments, batches,
      {.steps = iterations,
       .learning_rate = o.distill_lr,
       .lora = {.rank = o.rank},
       .target_decay = o.ema_target,
       .follow_previous = o.teacher_policy == "previous"},
      [&](int k, bool guided) {
        distill::ConsistencyOptions c{o.grid_points, o.guidance_min, o.guidance_max, o.noise_offset, o.jump_exponent};
        // A student of the stage before has guidance in its weights.
        if (!guided) c.guidance_min = c.guidance_max = 1;
        return Tscd(Process{}, c, distance(k), Rule{k});
      });
}

/// TCD (k = 1 throughout) with as many iterations, for comparison.
template <Device D>
Net<D> distil_tcd(const Run& run, const RealBatches<D>& batches, const Teacher<D>& teacher, std::int64_t iterations) {
  Critic<D> critic = make_critic(run, teacher);
  State<D> state{teacher.unet, teacher.unet};
  pipeline::run_part(run.session(), tscd_part(run, batches, critic, "tcd", {1}, {iterations}), state);
  return state.student;
}

}  // namespace fashion
