// SPDX-License-Identifier: Apache-2.0
/// Methods whose students agree with themselves along the teacher's trajectories.
#include "method.hpp"

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/tscd.hpp>

namespace compare {

namespace {

diffusion::NoiseTable table() { return diffusion::noise_table<diffusion::ScaledLinear>(); }

distill::ConsistencyOptions guided(const fashion::Options& o) {
  return {.grid_points = 40, .guidance_min = o.guidance_min, .guidance_max = o.guidance_max};
}

SamplerChoice tcd(double eta) {
  return sampler_choice<diffusion::Tcd>(eta > 0 ? "TCD, eta " + io::number(eta) : "TCD, eta 0", eta == 0, {.eta = eta});
}

/// A consistency objective with target and guided teacher, for an end rule known at run time of the stage.
template <class RuleOf>
auto trainer(std::string name, Plan plan, RuleOf rule_of) {
  return [=](const Seed& s) {
    const Model teacher{s.teacher.unet};
    return train_stages<distill::OriginalTeacher>(s, name, plan, teacher, [&](const Step& step, const Batch& batch) {
      const auto rule = rule_of(step.k);
      const distill::Consistency<std::remove_cvref_t<decltype(rule)>> objective(table(), guided(s.run.options), {}, rule);
      return objective.loss(step.student, step.teacher, step.target, batch, {s.seed(), step.iteration});
    });
  };
}

}  // namespace

std::vector<Method> consistency_methods() {
  const Plan one{}, four{.stages = {8, 4, 2, 1}};
  std::vector<Method> out;
  out.push_back({"cd", "CD", "Song et al. 2023", true, false, {tcd(0), tcd(1)},
                 trainer("cd", one, [](int) { return distill::ToTheEnd{}; })});
  out.push_back({"tcd", "TCD", "Zheng et al. 2024", true, false, {tcd(0), tcd(0.25)},
                 trainer("tcd", one, [](int) { return distill::Anywhere{}; })});
  out.push_back({"tscd", "TSCD (Hyper-SD)", "Ren et al. 2024", true, false, {tcd(0), tcd(0.25)},
                 trainer("tscd", four, [](int k) { return distill::WithinSegments<>{k}; })});
  return out;
}

}  // namespace compare
