// SPDX-License-Identifier: Apache-2.0
/// Methods whose students agree with themselves along the teacher's trajectories.
#include "heads.hpp"
#include "method.hpp"

#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/adaptive_weight.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/distill/sum.hpp>

namespace compare {

namespace {

template <Device D>
distill::ConsistencyOptions on_grid(const Seed<D>& s) {
  return guided(s, distill::ConsistencyOptions{.grid_points = static_cast<int>(s.setting("grid"))});
}

/// Trains with `objective_of(k)`, an objective that needs nothing beside the three networks.
template <Device D, class ObjectiveOf>
Trained<D> train_with(const Seed<D>& s, const std::string& name, const Plan& plan, ObjectiveOf&& objective_of) {
  return train_stages(s, name, plan, Model<D>{s.teacher.unet}, false, [&](int k, bool) { return objective_of(k); });
}

// An iteration costs 6 a sample: the student's pass with gradient 3, the guided teacher 2, the target 1.
template <Device D>
Trained<D> train_cd(const Seed<D>& s) {
  return train_with(s, "cd", {}, [&](int) { return distill::Cd<fashion::Process>(fashion::Process{}, on_grid(s)); });
}
template <Device D>
Trained<D> train_lcm(const Seed<D>& s) {
  return train_with(s, "lcm", {}, [&](int) { return distill::Lcm<fashion::Process>(fashion::Process{}, on_grid(s)); });
}
template <Device D>
Trained<D> train_tcd(const Seed<D>& s) {
  return train_with(s, "tcd", {}, [&](int) { return distill::Ctm<fashion::Process>(fashion::Process{}, on_grid(s)); });
}
template <Device D>
Trained<D> train_pcm(const Seed<D>& s) {
  return train_with(s, "pcm", {},
                    [&](int) { return distill::Pcm<4, fashion::Process>(fashion::Process{}, on_grid(s)); });
}
template <Device D>
Trained<D> train_tscd(const Seed<D>& s) {
  return train_with(s, "tscd", {.stages = {8, 4, 2, 1}}, [&](int k) {
    using Rule = distill::WithinSegments<>;
    return distill::Consistency<Rule, fashion::Process>(fashion::Process{}, on_grid(s), {}, Rule{k});
  });
}

/// A consistency objective with the denoising and adversarial terms of the consistency trajectory model.
template <Device D, class RuleOf>
Trained<D> train_with_terms(const Seed<D>& s, const std::string& name, const std::vector<int>& stages,
                            RuleOf&& rule_of) {
  // 6 for consistency, 3 for denoising; 3 for the critic's sample, 1.5 to judge it, and 1 to train the critic.
  const Plan plan{.stages = stages, .cost = [](int) { return 14.5; }};
  const Model<D> teacher{s.teacher.unet};
  using Critic = distill::FeatureCritic<Model<D>, Heads<D>>;
  using distill::weighted;
  Critic critic(teacher, heads_for(s, 1), s.setting("critic-rate"));
  return train_stages(s, name, plan, teacher, false, [&](int k, bool) {
    using Rule = std::remove_const_t<decltype(rule_of(k))>;
    return distill::sum_of(
        weighted(1.0, distill::Consistency<Rule, fashion::Process>(fashion::Process{}, on_grid(s), {}, rule_of(k)),
                 "consistency"),
        weighted(0.1, distill::Denoising<fashion::Process>(fashion::Process{}), "denoising"),
        weighted(s.setting("critic"), distill::DataAdversarial<Critic, fashion::Process>(fashion::Process{}, &critic),
                 "gan"));
  });
}
template <Device D>
Trained<D> train_ctm(const Seed<D>& s) {
  return train_with_terms(s, "ctm", {1}, [](int) { return distill::Anywhere{}; });
}
/// To tell what the segments do from what the terms do.
template <Device D>
Trained<D> train_tscd_terms(const Seed<D>& s) {
  return train_with_terms(s, "tscd_terms", {8, 4, 2, 1}, [](int k) { return distill::WithinSegments<>{k}; });
}

/// The limits for short steps of the teacher, in continuous time. The student's pass with
/// gradient costs 3 a sample, its derivative 1, the guided teacher 2.
template <Device D, class Rule, class RuleOf>
Trained<D> train_continuous(const Seed<D>& s, const std::string& name, const std::vector<int>& stages,
                            RuleOf&& rule_of) {
  const auto options = guided(s, distill::ContinuousConsistencyOptions{.times = uniform});
  return train_with(s, name, {.stages = stages}, [&](int k) {
    return distill::ContinuousConsistency<Rule, Continuous>(Continuous{}, options, rule_of(k));
  });
}
/// `weight`: the learning rate of sCM's learned weight; 0: none.
template <Device D>
Trained<D> train_scd(const Seed<D>& s) {
  if (const double rate = s.setting("weight"); rate > 0) {
    distill::AdaptiveWeight weight(rate);
    const auto options = guided(s, distill::ContinuousConsistencyOptions{.times = uniform});
    return train_with(s, "scd", {}, [&](int) {
      return distill::AdaptivelyWeighted(distill::Scd<Continuous>(Continuous{}, options), &weight);
    });
  }
  return train_continuous<D, distill::ToTheEnd>(s, "scd", {1}, [](int) { return distill::ToTheEnd{}; });
}
template <Device D>
Trained<D> train_scd4(const Seed<D>& s) {
  using Rule = distill::ToSegmentStarts<>;
  return train_continuous<D, Rule>(s, "scd4", {4}, [](int k) { return Rule{k}; });
}
template <Device D>
Trained<D> train_continuous_tscd(const Seed<D>& s) {
  using Rule = distill::WithinSegments<>;
  return train_continuous<D, Rule>(s, "tscd_limit", {8, 4, 2, 1}, [](int k) { return Rule{k}; });
}

}  // namespace

template <Device D>
std::vector<Method<D>> consistency_methods() {
  const auto tcd = [](double eta) {
    return sampler_choice<diffusion::Tcd, D>("TCD, eta " + io::number(eta), eta == 0, {.eta = eta});
  };
  const auto lcm = sampler_choice<diffusion::Lcm, D>("LCM", false, {}, {.end = diffusion::EndPoint::clean});
  // `critic` is the weight of the adversarial term.
  const Settings plain{{"rate", 1e-3}, {"decay", slow_target}, {"grid", 40}};
  const Settings terms{{"rate", 1e-3}, {"decay", slow_target}, {"grid", 40}, {"critic", 1e-3}, {"critic-rate", 1e-3}};
  // `last` is the share of the last stage.
  const auto staged = [](Settings settings) {
    settings["last"] = 0.25;
    return settings;
  };
  std::vector<Method<D>> out;
  out.push_back({"cd", "CD", "Song et al. 2023", true, false, {tcd(0), lcm}, train_cd<D>, plain});
  out.push_back({"lcm", "LCM", "Luo et al. 2023", true, false, {lcm, tcd(0)}, train_lcm<D>, plain});
  out.push_back({"ctm", "CTM, all terms", "Kim et al. 2024", true, false, {tcd(0), tcd(0.25)}, train_ctm<D>, terms});
  out.push_back({"tcd", "TCD (Eq 5)", "Zheng et al. 2024", true, false, {tcd(0), tcd(0.25)}, train_tcd<D>, plain});
  out.push_back({"pcm", "PCM, 4 phases", "Wang et al. 2024", true, false, {tcd(0), tcd(0.25)}, train_pcm<D>, plain});
  out.push_back(
      {"tscd", "TSCD (Hyper-SD)", "Ren et al. 2024", true, false, {tcd(0), tcd(0.25)}, train_tscd<D>, staged(plain)});
  out.push_back({"tscd_terms",
                 "TSCD, CTM's terms",
                 "Ren et al. 2024",
                 true,
                 false,
                 {tcd(0), tcd(0.25)},
                 train_tscd_terms<D>,
                 staged(terms)});
  out.push_back(
      {"scd", "sCD", "Lu and Song 2024", true, false, {tcd(0), lcm}, train_scd<D>, {{"rate", 1e-4}, {"weight", 0}}});
  out.push_back(
      {"scd4", "sCD, 4 segments", "multi-step sCD", true, false, {tcd(0), tcd(0.25)}, train_scd4<D>, {{"rate", 1e-4}}});
  out.push_back({"tscd_limit",
                 "TSCD's limit",
                 "Ren et al. 2024",
                 true,
                 false,
                 {tcd(0), tcd(0.25)},
                 train_continuous_tscd<D>,
                 staged({{"rate", 3e-4}})});
  return out;
}

template std::vector<Method<Cpu>> consistency_methods();
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda>> consistency_methods();
#endif

}  // namespace compare
