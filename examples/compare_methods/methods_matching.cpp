// SPDX-License-Identifier: Apache-2.0
/// Methods that shorten the teacher's path step by step, or match a distribution with critics and scores.
#include "heads.hpp"
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

namespace compare {

namespace {

// What an iteration costs a sample counts each network's passes: 3 with gradient, 1 without.
template <Device D>
Trained<D> train_pd(const Seed<D>& s) {
  const Plan plan{.stages = {8, 4, 2, 1}, .cost = [](int k) { return k == 8 ? 7.0 : 5.0; }};
  const fashion::Options& o = s.run.options;
  return train_stages(s, "pd", plan, Model<D>{s.teacher.unet}, true, [&](int k, bool guided) {
    return distill::Pd<fashion::Process>(
        fashion::Process{},
        {.steps = k, .guidance_min = guided ? o.guidance_min : 1, .guidance_max = guided ? o.guidance_max : 1});
  });
}

template <Device D>
Trained<D> train_lightning(const Seed<D>& s) {
  // MSE with guidance to 8 steps, then the critic. Counted besides the student's and the teacher's jump: features of
  // real, fake and twice the beginning to train, of fake (with gradient) and the beginning to judge.
  const Plan plan{.stages = {8, 4, 2, 1}, .cost = [](int k) { return k == 8 ? 7.0 : 9.0; }};
  const Model<D> teacher{s.teacher.unet};
  using Critic = distill::TrajectoryCritic<Model<D>, Heads<D>>;
  Critic critic(teacher, heads_for(s, 2), false, s.setting("critic-rate"));
  const fashion::Options& o = s.run.options;
  return train_stages(s, "lightning", plan, teacher, true, [&](int k, bool guided) {
    return distill::Lightning<Critic, fashion::Process>(fashion::Process{}, &critic,
                                                        {.steps = k,
                                                         .teacher_steps = 2,
                                                         .guidance_min = guided ? o.guidance_min : 1,
                                                         .guidance_max = guided ? o.guidance_max : 1,
                                                         .mse_weight = 1,
                                                         .adversarial_weight = k == 8 ? 0 : s.setting("critic")});
  });
}

/// On a table alone.
template <class Process, Device D>
Trained<D> train_perflow(const Seed<D>& s) {
  const Plan plan{.cost = [](int) { return 13.0; }};
  return train_stages(s, "perflow", plan, Model<D>{s.teacher.unet}, false, [&](int, bool) {
    return distill::PerFlow<Process>(Process{}, guided(s, distill::PerFlowOptions{.windows = 4, .teacher_steps = 5}));
  });
}
template <class Process, Device D>
void add_perflow(std::vector<Method<D>>& out) {
  if constexpr (Process::discrete) {
    const auto sampler =
        sampler_choice<diffusion::PerFlow, D>("PeRFlow", true, {.windows = 4}, {.takes = [](int n) { return n >= 4; }});
    out.push_back(
        {"perflow", "PeRFlow", "Yan et al. 2024", true, false, {sampler}, train_perflow<Process, D>, {{"rate", 1e-3}}});
  }
}

template <Device D>
Trained<D> train_add(const Seed<D>& s) {
  const Plan plan{.cost = [](int) { return 7.5; }};
  const Model<D> teacher{s.teacher.unet};
  using Critic = distill::FeatureCritic<Model<D>, Heads<D>>;
  Critic critic(teacher, heads_for(s, 1), s.setting("critic-rate"));
  return train_stages(s, "add", plan, teacher, false, [&](int, bool) {
    return distill::Add<Critic, fashion::Process>(
        fashion::Process{}, &critic, {.distillation = s.setting("distillation"), .guidance = s.run.options.guidance});
  });
}

template <Device D>
Trained<D> train_sds(const Seed<D>& s) {
  const Plan plan{.cost = [](int) { return 5.0; }};
  return train_stages(s, "sds", plan, Model<D>{s.teacher.unet}, false, [&](int, bool) {
    return distill::Sds<fashion::Process>(
        fashion::Process{},
        {.guidance = s.run.options.guidance, .t_min = s.setting("t-min"), .t_max = s.setting("t-max")});
  });
}

template <Device D>
Trained<D> train_dmd(const Seed<D>& s) {
  const Model<D> teacher{s.teacher.unet};
  fashion::Pairs<D> pairs{{s.data, s.options.pairs, s.seed(), "dmd.pairs"}, {}};
  pairs.draw(teacher, s.teacher.text, s.run.options.guidance, s.run.progress);
  Plan plan{.cost = [](int) { return 12.0; }};
  plan.before = teacher.count->cost();
  using Fake = distill::FakeScore<Model<D>, fashion::Process>;
  Fake fake(nn::deep_copy(teacher), fashion::Process{}, s.setting("fake-rate"));
  const data::Batches order(s.options.pairs, s.run.options.distill_batch, s.seed() + 2);
  const auto batches = [&](std::int64_t iteration) { return pairs.batch(s.teacher.text, order(iteration)); };
  return train_stages(s, "dmd", plan, teacher, teacher, batches, false, [&](int, bool) {
    return distill::Dmd<Fake, fashion::Process>(
        fashion::Process{}, &fake, {.guidance = s.run.options.guidance, .regression_weight = s.setting("regression")});
  });
}

}  // namespace

std::vector<UndefinedMethod> undefined_methods() {
  std::vector<UndefinedMethod> out;
  if (!fashion::Process::discrete)
    out.push_back({"perflow", "--process " + std::string(fashion::process_name),
                   "it straightens the windows of a table (ddpm, ddpm-v)"});
  if (!can_be_told<Cpu>)
    out.push_back({"imf_told", "--backbone " + std::string(fashion::backbone_name),
                   "its network takes no guidance weight (unet does)"});
  return out;
}

template <Device D>
std::vector<Method<D>> matching_methods() {
  const auto ode = sampler_choice<diffusion::DdimOde, D>("DDIM", true);
  const auto renoise = sampler_choice<diffusion::Tcd, D>("TCD, eta 1", false, {.eta = 1});
  const auto ancestral =
      sampler_choice<diffusion::EulerAncestral, D>("Euler ancestral", false, {}, {.end = diffusion::EndPoint::clean});
  std::vector<Method<D>> out;
  out.push_back({"pd", "PD", "Salimans, Ho 2022", true, true, {ode}, train_pd<D>, {{"rate", 1e-3}, {"last", 0.25}}});
  add_perflow<fashion::Process>(out);
  out.push_back({"lightning",
                 "Lightning",
                 "Lin et al. 2024",
                 true,
                 true,
                 {ode},
                 train_lightning<D>,
                 {{"rate", 1e-3}, {"critic", 1e-2}, {"critic-rate", 1e-3}, {"last", 0.25}}});
  out.push_back({"add",
                 "ADD (Turbo)",
                 "Sauer et al. 2023",
                 false,
                 false,
                 {ancestral},
                 train_add<D>,
                 {{"rate", 3e-4}, {"distillation", 2.5}, {"critic-rate", 1e-3}}});
  out.push_back({"sds",
                 "SDS",
                 "Poole et al. 2023",
                 false,
                 false,
                 {renoise},
                 train_sds<D>,
                 {{"rate", 3e-4}, {"t-min", 0.02}, {"t-max", 0.98}}});
  out.push_back({"dmd",
                 "DMD",
                 "Yin et al. 2024",
                 false,
                 false,
                 {renoise},
                 train_dmd<D>,
                 {{"rate", 3e-4}, {"fake-rate", 3e-4}, {"regression", 0.25}}});
  return out;
}

template std::vector<Method<Cpu>> matching_methods();
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda>> matching_methods();
#endif

}  // namespace compare
