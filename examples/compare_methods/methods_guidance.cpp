// SPDX-License-Identifier: Apache-2.0
/// Methods whose one student is sampled with any guidance scale.
#include "method.hpp"

#include <hypersd/diffusion/condition_dropout.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/keep_guidance.hpp>
#include <hypersd/distill/objectives/mean_flow.hpp>
#include <hypersd/distill/objectives/tscd.hpp>

namespace compare {

namespace {

/// Students learn scales from 1 to this.
constexpr double most_guidance = 4;

/// The batches of a seed without caption for a tenth of the samples, as classifier-free guidance needs.
template <Device D>
struct BatchesWithoutCaption {
  const Seed<D>& seed;
  Batch<D> operator()(std::int64_t iteration) const {
    const data::Batches batches(seed.latents.values.dim(0), seed.run.options.distill_batch, seed.seed() + 1);
    const auto ids = batches(iteration);
    const auto captions = diffusion::drop_condition(
        seed.data.captions(seed.data.images.train.labels(ids)), data::Captions::null(seed.data.words.longest()), 0.1,
        stream(seed.seed(), "told.drop", static_cast<std::uint64_t>(iteration)));
    return {fashion::take(seed.latents.values, ids), fashion::condition_of(seed.teacher.text, captions)};
  }
};

/// Improved mean flows whose student is told the scale. Its pass with gradient 3, its derivative 1, its own velocity
/// with caption and without 2, the teacher's 1: that is not guided, the student guides itself.
template <Device D>
Trained<D> train_imf_told(const Seed<D>& s) {
  using Map = Counted<FlowMap<D>>;
  const Plan plan{.cost = [](int) { return 7.0; }, .every_guidance = true};
  const Map teacher{FlowMap<D>::student_of(s.teacher.unet, s.seed(), 256)};
  const distill::MeanFlowOptions options{.times = uniform,
                                         .same_share = s.setting("same"),
                                         .source = distill::FlowSource::teacher,
                                         .told_scale = most_guidance,
                                         .power = 0.5};
  return train_stages(s, "imf_told", plan, teacher, teacher, BatchesWithoutCaption<D>{s}, false, [&](int, bool) {
    return AnyObjective<Map, D>(distill::ImprovedMeanFlow<Continuous>(Continuous{}, options));
  });
}
template <Device D>
SamplerChoice<D> told_choice() {
  return {"DDIM, told", true,
          [](const Student<D>& student, const Tensor<float, D>& noise,
             const diffusion::GuidedCondition<Condition<D>>& condition, const Draw& draw, Evaluations& count) {
            const Counted<FlowMap<D>> net{std::get<FlowMap<D>>(student)};
            const auto w = Numbers<float, D>::full(Shape{noise.dim(0)}, static_cast<float>(draw.guidance - 1));
            const distill::ToldGuidance<Counted<FlowMap<D>>, float, D> told(net, w);
            auto x = diffusion::Sampler<diffusion::DdimOde, fashion::Process>()(told, noise, condition.conditional,
                                                                                draw.steps);
            count.forward += net.count->forward;
            return x;
          }};
}

/// TSCD whose student is guided by the sampler, as its teacher is. Two evaluations of each of the networks: with
/// gradient 6, the teacher 2, the target 2.
template <Device D>
Trained<D> train_tscd_kept(const Seed<D>& s) {
  const Plan plan{.stages = {8, 4, 2, 1}, .cost = [](int) { return 10.0; }, .every_guidance = true};
  const distill::ConsistencyOptions options{.grid_points = static_cast<int>(s.setting("grid")),
                                            .guidance_max = most_guidance};
  using Rule = distill::WithinSegments<>;
  using Kept = distill::KeepGuidance<distill::Consistency<Rule, fashion::Process, distill::Huber>>;
  return train_stages(s, "tscd_kept", plan, Model<D>{s.teacher.unet}, false, [&](int k, bool) {
    return AnyObjective<Model<D>, D>(Kept(fashion::Process{}, options, distill::Huber{}, Rule{k}));
  });
}

}  // namespace

template <Device D>
std::vector<Method<D>> guidance_methods() {
  std::vector<Method<D>> out;
  if constexpr (can_be_told<D>)
    out.push_back({"imf_told",
                   "Improved MeanFlow, told",
                   "Geng et al. 2025",
                   true,
                   false,
                   {told_choice<D>()},
                   train_imf_told<D>,
                   {{"rate", 1e-4}, {"same", 0.25}},
                   Guidance::sampled});
  out.push_back({"tscd_kept",
                 "TSCD, guidance kept",
                 "Ren et al. 2024",
                 true,
                 false,
                 {sampler_choice<diffusion::Tcd, D>("TCD, eta 0", true, {.eta = 0}, {.guided = true})},
                 train_tscd_kept<D>,
                 {{"rate", 1e-3}, {"decay", slow_target}, {"grid", 40}, {"last", 0.25}},
                 Guidance::sampled});
  return out;
}

template std::vector<Method<Cpu>> guidance_methods();
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda>> guidance_methods();
#endif

}  // namespace compare
