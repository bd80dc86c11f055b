// SPDX-License-Identifier: Apache-2.0
/// Consistency by a curriculum, what followed distribution matching distillation, and policies.
#include "heads.hpp"
#include "method.hpp"

#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/objectives/decoupled_dmd.hpp>
#include <hypersd/distill/objectives/pi_flow.hpp>
#include <hypersd/distill/objectives/rcm.hpp>
#include <hypersd/distill/objectives/truncated_consistency.hpp>

namespace compare {

namespace {

/// Pairs of times come nearer in eight equal stages of `iterations`.
template <Device D>
AnyObjective<Model<D>, D> easy(std::int64_t iterations) {
  return AnyObjective<Model<D>, D>(distill::EasyConsistency<Continuous>(
      Continuous{},
      {.times = uniform, .nearby = {.stage_steps = std::max<std::int64_t>(1, iterations / 8)}, .huber = 0.06}));
}

/// From data alone, without guidance: the student's pass with gradient 3, its target 1.
template <Device D>
Trained<D> train_ect(const Seed<D>& s) {
  const Plan plan{.cost = [](int) { return 4.0; }};
  return train_stages(s, "ect", plan, Model<D>{s.teacher.unet}, false,
                      [&](int k, bool) { return easy<D>(plan.iterations(s, k)); });
}
/// The same for half of the budget; then times of much noise alone, with the model of the first half, 1, as the target
/// at the others.
template <Device D>
Trained<D> train_tcm(const Seed<D>& s) {
  const Plan plan{.stages = {2, 1}, .cost = [](int k) { return k == 2 ? 4.0 : 5.0; }};
  return train_stages(s, "tcm", plan, Model<D>{s.teacher.unet}, true, [&](int k, bool) {
    if (k == 2) return easy<D>(plan.iterations(s, k));
    const Continuous process;
    distill::TruncatedConsistencyOptions options{.nearby = {.stage = 7}, .huber = 0.06};
    const diffusion::Level last = process.level(process.last());
    if (last.alpha > 0) options.nearby.eta_max = std::min(options.nearby.eta_max, last.sigma / last.alpha);
    return AnyObjective<Model<D>, D>(distill::TruncatedConsistency<Continuous>(process, options));
  });
}

/// The student begins at any of the times of four steps; of `updates` of the fake score for one of the student.
distill::DmdOptions four_starts(double guidance, int updates) {
  return {
      .start = fashion::Process{}.grid(4), .guidance = guidance, .learn_per_update = updates, .regression_weight = 0};
}

/// The student's way to its beginning 3, its sample 3, the guided teacher 2, the fake score 1, its training 3 an
/// update; to train the critic 1, and to be judged by it 1.5.
template <Device D>
Trained<D> train_dmd2(const Seed<D>& s) {
  constexpr int updates = 3;
  const Plan plan{.cost = [](int) { return 11.5 + 3 * updates; }};
  const Model<D> teacher{s.teacher.unet};
  using Fake = distill::FakeScore<Model<D>, fashion::Process>;
  using Critic = distill::FeatureCritic<Model<D>, Heads<D>, distill::NonSaturating>;
  Fake fake(nn::deep_copy(teacher), fashion::Process{}, s.setting("fake-rate"));
  Critic critic(teacher, heads_for(s, 1), s.setting("critic-rate"));
  distill::DmdOptions options = four_starts(s.run.options.guidance, updates);
  options.simulate = true;
  options.adversarial_weight = s.setting("critic");
  options.judge_noised = true;
  return train_stages(s, "dmd2", plan, teacher, false, [&](int, bool) {
    return distill::Dmd<Fake, fashion::Process, Critic>(fashion::Process{}, &fake, options, &critic);
  });
}

/// The student's sample 3, the teacher 1 and the fake score 1 to match, its training 3 an update, both branches of the
/// teacher for the augmentation.
template <Device D>
Trained<D> train_decoupled(const Seed<D>& s) {
  constexpr int updates = 3;
  const Plan plan{.cost = [](int) { return 7.0 + 3 * updates; }};
  const Model<D> teacher{s.teacher.unet};
  using Fake = distill::FakeScore<Model<D>, fashion::Process>;
  Fake fake(nn::deep_copy(teacher), fashion::Process{}, s.setting("fake-rate"));
  return train_stages(s, "decoupled", plan, teacher, false, [&](int, bool) {
    return distill::DecoupledDmd<Fake, fashion::Process>(fashion::Process{}, &fake,
                                                         four_starts(s.run.options.guidance, updates));
  });
}

/// sCD 6, and of distribution matching the student's sample 3, the guided teacher 2, the fake score 1 and its training.
template <Device D>
Trained<D> train_rcm(const Seed<D>& s) {
  constexpr int updates = 2;
  const Plan plan{.cost = [](int) { return 12.0 + 3 * updates; }};
  const Model<D> teacher{s.teacher.unet};
  using Fake = distill::FakeScore<Model<D>, Continuous>;
  Fake fake(nn::deep_copy(teacher), Continuous{}, s.setting("fake-rate"));
  const distill::RcmOptions options{
      .consistency = guided(s, distill::ContinuousConsistencyOptions{.times = uniform}),
      .matching = {.guidance = s.run.options.guidance, .learn_per_update = updates, .regression_weight = 0}};
  return train_stages(s, "rcm", plan, teacher, false,
                      [&](int, bool) { return distill::rcm(Continuous{}, &fake, options); });
}

/// Steps of a policy across a k-th of the way.
int policy_steps(int k) { return 64 / k; }

/// The student's policy 3, and the guided teacher at `states` points of its way 2 each: a policy is followed without a
/// network. A student for each number of segments, which begins with that of more. `nodes`: clean data of a policy.
template <Device D>
Trained<D> train_pi_flow(const Seed<D>& s) {
  const int nodes = static_cast<int>(s.setting("nodes")), states = static_cast<int>(s.setting("states"));
  const Plan plan{.stages = {8, 4, 2, 1}, .cost = [states](int) { return 3.0 + 2 * states; }};
  using Network = Counted<Policies<D>>;
  const Network teacher{Policies<D>::student_of(s.teacher.unet, 1)};
  const Network start{Policies<D>::student_of(s.teacher.unet, nodes), teacher.count};
  return train_stages(s, "pi_flow", plan, teacher, start, SeedBatches<D>{s}, false, [&](int k, bool) {
    const distill::PiFlowOptions options{.segments = k, .nodes = nodes, .states = states, .steps = policy_steps(k)};
    return AnyObjective<Network, D>(distill::PiFlow<Continuous>(Continuous{}, guided(s, options)));
  });
}
/// An evaluation for each segment. A policy holds for the segments that its student was trained on.
template <Device D>
SamplerChoice<D> policy_choice() {
  return {"Policy", true,
          [](const Student<D>& student, const Tensor<float, D>& noise,
             const diffusion::GuidedCondition<Condition<D>>& condition, const Draw& draw, Evaluations& count) {
            const Counted<Policies<D>> net{std::get<Policies<D>>(student)};
            auto x = distill::sample_policies(Continuous{}, net, noise, condition.conditional, draw.steps,
                                              static_cast<int>(net.net.nodes()), policy_steps(draw.steps));
            count.forward += net.count->forward;
            return x;
          },
          [](int n) { return n == 1 || n == 2 || n == 4 || n == 8; }};
}

}  // namespace

template <Device D>
std::vector<Method<D>> recent_methods() {
  const auto tcd = [](double eta) {
    return sampler_choice<diffusion::Tcd, D>("TCD, eta " + io::number(eta), eta == 0, {.eta = eta});
  };
  const auto lcm = sampler_choice<diffusion::Lcm, D>("LCM", false, {}, {.end = diffusion::EndPoint::clean});
  std::vector<Method<D>> out;
  out.push_back({"ect",
                 "Easy consistency",
                 "Geng et al. 2024",
                 true,
                 false,
                 {lcm, tcd(0)},
                 train_ect<D>,
                 {{"rate", 1e-4}},
                 Guidance::none});
  out.push_back({"tcm",
                 "Truncated consistency",
                 "Lee et al. 2024",
                 true,
                 false,
                 {lcm, tcd(0)},
                 train_tcm<D>,
                 {{"rate", 1e-4}, {"last", 0.5}},
                 Guidance::none});
  out.push_back(
      {"rcm", "rCM", "Zheng et al. 2025", false, false, {tcd(1)}, train_rcm<D>, {{"rate", 3e-4}, {"fake-rate", 3e-4}}});
  out.push_back({"dmd2",
                 "DMD2",
                 "Yin et al. 2024",
                 false,
                 false,
                 {tcd(1)},
                 train_dmd2<D>,
                 {{"rate", 3e-4}, {"fake-rate", 3e-4}, {"critic", 1e-2}, {"critic-rate", 1e-3}}});
  out.push_back({"decoupled",
                 "Decoupled DMD",
                 "Liu et al. 2025",
                 false,
                 false,
                 {tcd(1)},
                 train_decoupled<D>,
                 {{"rate", 3e-4}, {"fake-rate", 3e-4}}});
  out.push_back({"pi_flow",
                 "pi-Flow",
                 "Chen et al. 2025",
                 true,
                 true,
                 {policy_choice<D>()},
                 train_pi_flow<D>,
                 {{"rate", 1e-3}, {"last", 0.25}, {"nodes", 10}, {"states", 2}}});
  return out;
}

template std::vector<Method<Cpu>> recent_methods();
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda>> recent_methods();
#endif

}  // namespace compare
