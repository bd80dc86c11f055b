// SPDX-License-Identifier: Apache-2.0
/// Methods that shorten the teacher's path step by step, or match a distribution with critics and scores.
#include "method.hpp"

#include <fashion/pairs.hpp>

#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/perflow.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/lightning.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/perflow.hpp>
#include <hypersd/distill/objectives/sds.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/discriminator.hpp>

namespace compare {

namespace {

using distill::OriginalTeacher;
using distill::PreviousStageTeacher;
using Heads = nn::Discriminator<float>;

/// Critic heads for the teacher's features, each map `times` as wide.
Heads heads_for(const Seed& s, std::int64_t times) {
  nn::DiscriminatorConfig c{.feature_channels = s.teacher.unet.feature_channels(), .hidden = s.run.options.channels};
  for (auto& channels : c.feature_channels) channels *= times;
  Heads heads(c);
  nn::init_parameters(heads, s.seed(), "critic");
  return heads;
}

Trained train_pd(const Seed& s) {
  const Plan plan{.stages = {8, 4, 2, 1}, .cost = [](int k) { return k == 8 ? 7.0 : 5.0; }};
  const fashion::Options& o = s.run.options;
  return train_stages<PreviousStageTeacher>(
      s, "pd", plan, Model{s.teacher.unet}, [&](const Step& step, const Batch& batch) {
        const distill::Pd<> objective(fashion::noise_table(), {.steps = step.k,
                                                               .guidance_min = step.guided ? o.guidance_min : 1,
                                                               .guidance_max = step.guided ? o.guidance_max : 1});
        return objective.loss(step.student, step.teacher, step.target, batch, {s.seed(), step.iteration});
      });
}

Trained train_lightning(const Seed& s) {
  // MSE with guidance to 8 steps, then the critic. Counted: features of real, fake and twice the beginning to learn,
  // of fake (with gradient) and the beginning to judge.
  const Plan plan{.stages = {8, 4, 2, 1}, .cost = [](int k) { return k == 8 ? 7.0 : 9.0; }};
  const Model teacher{s.teacher.unet};
  using Critic = distill::TrajectoryCritic<Model, Heads>;
  Critic critic(teacher, heads_for(s, 2), false, 1e-3);
  const fashion::Options& o = s.run.options;
  return train_stages<PreviousStageTeacher>(
      s, "lightning", plan, teacher,
      [&](const Step& step, const Batch& batch) {
        const distill::Lightning<Critic> objective(fashion::noise_table(), &critic,
                                                   {.steps = step.k,
                                                    .teacher_steps = 2,
                                                    .guidance_min = step.guided ? o.guidance_min : 1,
                                                    .guidance_max = step.guided ? o.guidance_max : 1,
                                                    .mse_weight = 1,
                                                    .adversarial_weight = step.k == 8 ? 0 : 1e-2});
        return objective.loss(step.student, step.teacher, step.target, batch, {s.seed(), step.iteration});
      },
      [&](pipeline::Trainer<float>& trainer) { trainer.state().add("critic.", critic); });
}

Trained train_perflow(const Seed& s) {
  const Plan plan{.cost = [](int) { return 13.0; }};
  const fashion::Options& o = s.run.options;
  return train_stages<OriginalTeacher>(
      s, "perflow", plan, Model{s.teacher.unet}, [&](const Step& step, const Batch& batch) {
        const distill::PerFlow objective(
            fashion::noise_table(),
            {.windows = 4, .teacher_steps = 5, .guidance_min = o.guidance_min, .guidance_max = o.guidance_max});
        return objective.loss(step.student, step.teacher, step.target, batch, {s.seed(), step.iteration});
      });
}

Trained train_add(const Seed& s) {
  const Plan plan{.cost = [](int) { return 7.5; }, .learning_rate = 3e-4};
  const Model teacher{s.teacher.unet};
  using Critic = distill::FeatureCritic<Model, Heads>;
  Critic critic(teacher, heads_for(s, 1), 1e-3);
  return train_stages<OriginalTeacher>(
      s, "add", plan, teacher,
      [&](const Step& step, const Batch& batch) {
        const distill::Add<Critic> objective(fashion::noise_table(), &critic, {.guidance = s.run.options.guidance});
        return objective.loss(step.student, step.teacher, step.target, batch, {s.seed(), step.iteration});
      },
      [&](pipeline::Trainer<float>& trainer) { trainer.state().add("critic.", critic); });
}

Trained train_sds(const Seed& s) {
  const Plan plan{.cost = [](int) { return 5.0; }, .learning_rate = 3e-4};
  return train_stages<OriginalTeacher>(
      s, "sds", plan, Model{s.teacher.unet}, [&](const Step& step, const Batch& batch) {
        const distill::Sds<> objective(fashion::noise_table(), {.guidance = s.run.options.guidance});
        return objective.loss(step.student, step.teacher, step.target, batch, {s.seed(), step.iteration});
      });
}

Trained train_dmd(const Seed& s) {
  const Model teacher{s.teacher.unet};
  fashion::Pairs<Cpu> pairs{{s.data, s.options.pairs, s.seed(), "dmd.pairs"}, {}};
  pairs.draw(teacher, s.teacher.text, s.run.options.guidance, s.run.progress);
  Plan plan{.cost = [](int) { return 12.0; }, .learning_rate = 3e-4};
  plan.before = teacher.count->cost();
  using Fake = distill::FakeScore<Model>;
  Fake fake(nn::deep_copy(teacher), fashion::noise_table(), 3e-4);
  const data::Batches batches(s.options.pairs, s.run.options.distill_batch, s.seed() + 2);
  const distill::Dmd<Fake> objective(fashion::noise_table(), &fake, {.guidance = s.run.options.guidance});
  return train_stages<OriginalTeacher>(
      s, "dmd", plan, teacher,
      [&](const Step& step, const Batch&) {
        const Batch batch = pairs.batch(s.teacher.text, batches(step.iteration));
        return objective.loss(step.student, step.teacher, step.target, batch, {s.seed(), step.iteration});
      },
      [&](pipeline::Trainer<float>& trainer) { trainer.state().add("fake.", fake); });
}

}  // namespace

std::vector<Method> matching_methods() {
  const auto ode = sampler_choice<diffusion::DdimOde>("DDIM", true);
  const auto renoise = sampler_choice<diffusion::Tcd>("TCD, eta 1", false, {.eta = 1});
  const auto ancestral =
      sampler_choice<diffusion::EulerAncestral>("Euler ancestral", false, {}, 1, diffusion::EndPoint::clean);
  const auto flow =
      sampler_choice<diffusion::PerFlow>("PeRFlow", true, {.windows = 4}, 1, diffusion::EndPoint::first_entry, 4);
  std::vector<Method> out;
  out.push_back({"pd", "PD", "Salimans, Ho 2022", true, true, {ode}, train_pd});
  out.push_back({"perflow", "PeRFlow", "Yan et al. 2024", true, false, {flow}, train_perflow});
  out.push_back({"lightning", "Lightning", "Lin et al. 2024", true, true, {ode}, train_lightning});
  out.push_back({"add", "ADD (Turbo)", "Sauer et al. 2023", false, false, {ancestral}, train_add});
  out.push_back({"sds", "SDS", "Poole et al. 2023", false, false, {renoise}, train_sds});
  out.push_back({"dmd", "DMD", "Yin et al. 2024", false, false, {renoise}, train_dmd});
  return out;
}

}  // namespace compare
