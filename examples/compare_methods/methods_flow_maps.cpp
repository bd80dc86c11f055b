// SPDX-License-Identifier: Apache-2.0
/// Methods whose students are flow maps: told where a jump begins and where it ends. The student is the teacher with an
/// embedding of the jump's length that starts at zero, and the adapter is on the layers of both.
#include "method.hpp"

#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/distill/objectives/flow_map.hpp>
#include <hypersd/distill/objectives/mean_flow.hpp>
#include <hypersd/distill/objectives/moment_matching.hpp>
#include <hypersd/distill/objectives/shortcut.hpp>
#include <hypersd/distill/objectives/terminal_velocity.hpp>

namespace compare {

namespace {

/// The rate of objectives that differentiate the student by its times. Networks are given times up to 1000 and have
/// features with up to one radian a unit: at 1e-3 the derivatives of what they learn grow from update to update.
constexpr double slow = 1e-4;

/// Trains a flow map; an iteration costs `cost` evaluations a sample.
template <Device D, class Objective>
Trained<D> train_map(const Seed<D>& s, const std::string& name, double cost, const Objective& objective) {
  using Map = Counted<FlowMap<D>>;
  const Map teacher{FlowMap<D>::student_of(s.teacher.unet, s.seed())};
  const Plan plan{.cost = [cost](int) { return cost; }};
  return train_stages(s, name, plan, teacher, false, [&](int, bool) { return AnyObjective<Map, D>(objective); });
}

// Of what an iteration costs, the student's pass with gradient is 3, its derivative along a direction 1, the guided
// teacher 2. The teacher and jumps without gradient run for the whole batch, also where a sample has no use for them.

/// The teacher's velocity and two jumps of the target: 3 + 2 + 2.
template <Device D>
Trained<D> train_shortcut(const Seed<D>& s) {
  const auto options = guided(s, distill::ShortcutOptions{.levels = 3, .shortcut_share = s.setting("jumps")});
  return train_map(s, "shortcut", 7, distill::Shortcut<Continuous>(Continuous{}, options));
}

/// 3 + 1 + 2, and for the improved form the student's own velocity.
template <bool improved, Device D>
Trained<D> train_mean_flow(const Seed<D>& s) {
  const auto options =
      guided(s, distill::MeanFlowOptions{.times = uniform, .same_share = s.setting("same"), .power = 0.5});
  return train_map(s, improved ? "imf" : "meanflow", improved ? 7 : 6,
                   distill::MeanFlows<improved, Continuous>(Continuous{}, options));
}

/// 3 + 1 + 2; progressive: two jumps in place of the derivative, 3 + 2 + 2.
template <distill::FlowMapEquation equation, Device D>
Trained<D> train_flow_map(const Seed<D>& s, const std::string& name) {
  constexpr bool derivative = equation != distill::FlowMapEquation::progressive;
  const auto options = guided(s, distill::FlowMapOptions{.same_share = s.setting("same")});
  return train_map(s, name, derivative ? 6 : 7, distill::FlowMap<equation, Continuous>(Continuous{}, options));
}
template <Device D>
Trained<D> train_lmd(const Seed<D>& s) {
  return train_flow_map<distill::FlowMapEquation::lagrangian>(s, "lmd");
}
template <Device D>
Trained<D> train_emd(const Seed<D>& s) {
  return train_flow_map<distill::FlowMapEquation::eulerian>(s, "emd");
}
template <Device D>
Trained<D> train_psd(const Seed<D>& s) {
  return train_flow_map<distill::FlowMapEquation::progressive>(s, "psd");
}
/// TSCD's limit at k = 1, told the end: Eulerian with normalized tangents, 3 + 1 + 2.
template <Device D>
Trained<D> train_ayf(const Seed<D>& s) {
  const auto options = guided(s, distill::ContinuousConsistencyOptions{.times = uniform});
  return train_map(s, "ayf", 6, distill::ContinuousTscd<1, Continuous>(Continuous{}, options));
}

/// The jump's end twice with gradient for its speed, 6; where it lands and the target's velocity there, 2; and the
/// velocity, 3 + 2. A jump that ends at the process's end has a third point, in few batches.
template <Device D>
Trained<D> train_tvm(const Seed<D>& s) {
  const auto options = guided(s, distill::TerminalVelocityOptions{.times = uniform});
  return train_map(s, "tvm", 13.2, distill::TerminalVelocity<Continuous>(Continuous{}, options));
}

/// From data alone, without guidance: 3 + 1.
template <Device D>
Trained<D> train_imm(const Seed<D>& s) {
  return train_map(s, "imm", 4, distill::MomentMatching<Continuous>(Continuous{}, {.gap_exponent = 8}));
}

}  // namespace

template <Device D>
std::vector<Method<D>> flow_map_methods() {
  // `same` is the share of samples that learn the velocity, `jumps` that of those that learn a jump from two.
  const std::vector<SamplerChoice<D>> ode{sampler_choice<diffusion::DdimOde, D, FlowMap<D>>("DDIM", true)};
  std::vector<Method<D>> out;
  out.push_back({"shortcut",
                 "Shortcut",
                 "Frans et al. 2024",
                 true,
                 false,
                 ode,
                 train_shortcut<D>,
                 {{"rate", 1e-3}, {"decay", slow_target}, {"jumps", 0.75}}});
  out.push_back({"meanflow",
                 "MeanFlow",
                 "Geng et al. 2025",
                 true,
                 false,
                 ode,
                 train_mean_flow<false, D>,
                 {{"rate", slow}, {"same", 0.25}}});
  out.push_back({"imf",
                 "Improved MeanFlow",
                 "Geng et al. 2025",
                 true,
                 false,
                 ode,
                 train_mean_flow<true, D>,
                 {{"rate", slow}, {"same", 0.25}}});
  out.push_back(
      {"lmd", "Lagrangian map", "Boffi et al. 2025", true, false, ode, train_lmd<D>, {{"rate", slow}, {"same", 0.25}}});
  out.push_back(
      {"emd", "Eulerian map", "Boffi et al. 2025", true, false, ode, train_emd<D>, {{"rate", slow}, {"same", 0.25}}});
  out.push_back({"psd",
                 "Progressive map",
                 "Boffi et al. 2025",
                 true,
                 false,
                 ode,
                 train_psd<D>,
                 {{"rate", 1e-3}, {"same", 0.25}}});
  out.push_back(
      {"ayf", "TSCD's limit, told the end", "Sabour et al. 2025", true, false, ode, train_ayf<D>, {{"rate", slow}}});
  out.push_back({"tvm",
                 "Terminal velocity",
                 "Zhou et al. 2025",
                 true,
                 false,
                 ode,
                 train_tvm<D>,
                 {{"rate", 1e-3}, {"decay", slow_target}}});
  out.push_back({"imm",
                 "Moment matching (IMM)",
                 "Zhou et al. 2025",
                 false,
                 false,
                 ode,
                 train_imm<D>,
                 {{"rate", 1e-4}},
                 Guidance::none});
  return out;
}

template std::vector<Method<Cpu>> flow_map_methods();
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda>> flow_map_methods();
#endif

}  // namespace compare
