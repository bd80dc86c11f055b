// SPDX-License-Identifier: Apache-2.0
#include "methods.hpp"

#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/continuous_table.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/easy_consistency.hpp>
#include <hypersd/distill/objectives/flow_map.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/lightning.hpp>
#include <hypersd/distill/objectives/mean_flow.hpp>
#include <hypersd/distill/objectives/moment_matching.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/perflow.hpp>
#include <hypersd/distill/objectives/pi_flow.hpp>
#include <hypersd/distill/objectives/sds.hpp>
#include <hypersd/distill/objectives/shortcut.hpp>
#include <hypersd/distill/objectives/terminal_velocity.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/distill/sum.hpp>

namespace playground {

namespace {

template <class Solver, Device D, diffusion::DiffusionProcess Pr>
Draw<D> with(typename Solver::Options options = {}, diffusion::EndPoint end = diffusion::EndPoint::first_entry) {
  return [=](const Net<D>& net, const Tensor<float>& noise, int steps) {
    const diffusion::Sampler<Solver, Pr> sampler(options, make_process<Pr>());
    diffusion::SampleOptions o;
    o.seed = 5, o.end = end;
    return sampler(net, noise.template to<D>(), Unconditional{}, steps, o).template to<Cpu>();
  };
}

/// Stages with k = 8, 4, 2, 1, each from the one before; `net_of(k, before)` trains one.
template <Device D, diffusion::DiffusionProcess Pr, class NetOf>
Students<D> stages(const World<D, Pr>& w, NetOf&& net_of) {
  Students<D> out;
  Net<D> net = w.teacher;
  for (const int k : {8, 4, 2, 1}) out.insert_or_assign(k, net = net_of(k, net));
  return out;
}

template <Device D, diffusion::DiffusionProcess Pr>
Students<D> tscd(const World<D, Pr>& w) {
  return {{1, tscd_stages(w).at(1)}};
}
template <Device D, diffusion::DiffusionProcess Pr>
Students<D> pd(const World<D, Pr>& w) {
  return stages(w, [&](int k, const Net<D>& before) {
    return w.distil(distill::Pd<Pr>(w.process(), {.steps = k}), before, before, w.steps / 4);
  });
}
template <Device D, diffusion::DiffusionProcess Pr>
Students<D> lightning(const World<D, Pr>& w) {
  Critic<D> critic(w.seed);
  return stages(w, [&](int k, const Net<D>& before) {
    const distill::Lightning<Critic<D>, Pr> o(w.process(), &critic,
                                              {.steps = k, .adversarial_weight = k == 8 ? 0 : 0.02});
    return w.distil(o, before, before, w.steps / 4);
  });
}
template <Device D, diffusion::DiffusionProcess Pr>
Students<D> ctm(const World<D, Pr>& w) {
  return {{1, w.distil(distill::sum_of(distill::weighted(1, distill::Ctm<Pr>(w.process())),
                                       distill::weighted(0.01, distill::Denoising<Pr>(w.process()))))}};
}
template <Device D, diffusion::DiffusionProcess Pr>
Students<D> add(const World<D, Pr>& w) {
  Critic<D> critic(w.seed);
  return {
      {1, w.distil(distill::Add<Critic<D>, Pr>(w.process(), &critic, {.distillation = 0.25, .guidance = 1}), 1e-3)}};
}
template <Device D, diffusion::DiffusionProcess Pr>
Students<D> dmd(const World<D, Pr>& w) {
  using Fake = distill::FakeScore<Net<D>, Pr>;
  Fake fake(nn::deep_copy(w.teacher), w.process(), 2e-3);
  const distill::Dmd<Fake, Pr> o(w.process(), &fake, {.guidance = 1, .learn_per_update = 2});
  return {{1, w.distil(o, 1e-3)}};
}
/// An objective that needs nothing beside the three networks.
template <Device D, diffusion::DiffusionProcess Pr, class Objective>
std::function<Students<D>(const World<D, Pr>&)> plain(Objective o) {
  return [=](const World<D, Pr>& w) { return Students<D>{{1, w.distil(o)}}; };
}

/// An objective of students with a second time.
template <Device D, diffusion::DiffusionProcess Pr, class Objective>
std::function<Students<D>(const World<D, Pr>&)> flow_map(Objective o) {
  return [=](const World<D, Pr>& w) {
    return Students<D>{{1, w.distil(o, flow_map_of(w.teacher), w.teacher, w.steps)}};
  };
}
/// Clean data of a policy, and its steps: a segment of a k-th of the way.
constexpr int policy_nodes = 8;
int policy_steps(int k) { return 64 / k; }

/// Policies of 8, 4, 2 and 1 segments, each student from the one before. They begin as the teacher's steps.
template <Device D, diffusion::DiffusionProcess Pr, diffusion::DiffusionProcess Continuous>
Method<D, Pr> pi_flow(const Continuous& p) {
  return {"pi_flow",
          "Policies (pi-Flow)",
          [p](const World<D, Pr>& w) {
            Students<D> out;
            Net<D> net = policies_of(w.teacher, policy_nodes);
            for (const int k : {8, 4, 2, 1}) {
              const distill::PiFlow<Continuous> o(p, {.segments = k, .nodes = policy_nodes, .steps = policy_steps(k)});
              out.insert_or_assign(k, net = w.distil(o, net, w.teacher, w.steps / 4));
            }
            return out;
          },
          [p](const Net<D>& net, const Tensor<float>& noise, int steps) {
            return distill::sample_policies(p, net, noise.template to<D>(), Unconditional{}, steps, policy_nodes,
                                            policy_steps(steps))
                .template to<Cpu>();
          },
          [](int n) { return n == 1 || n == 2 || n == 4 || n == 8; },
          true};
}
/// `Pr` in continuous time: itself, or that of the table.
template <diffusion::DiffusionProcess Pr>
auto in_continuous_time() {
  if constexpr (Pr::discrete)
    return diffusion::Process<diffusion::ContinuousTable<>, diffusion::Epsilon>();
  else
    return make_process<Pr>();
}
/// The methods of continuous time on `p`, for students that the sampler of `Pr` draws with.
template <Device D, diffusion::DiffusionProcess Pr, diffusion::DiffusionProcess Continuous>
std::vector<Method<D, Pr>> continuous_methods(const Continuous& p, const Draw<D>& ode) {
  using namespace distill;
  using C = Continuous;
  const TimeProposal times{.kind = TimeProposal::Kind::uniform};
  const ContinuousConsistencyOptions consistency{.times = times, .warm_up = 200};
  // Weights by the residual are biased in two dimensions.
  const MeanFlowOptions mean{.times = times, .same_share = 0.5, .power = 0};
  const FlowMapOptions map{.same_share = 0.25, .source = FlowSource::teacher};
  return {
      {"ect", "Easy consistency",
       plain<D, Pr>(EasyConsistency<C>(p, {.times = times, .nearby = {.stage_steps = 250}, .huber = 0.06})), ode},
      {"scd", "sCD", plain<D, Pr>(Scd<C>(p, consistency)), ode},
      {"scd4", "sCD, 4 segments", plain<D, Pr>(SegmentedScd<4, C>(p, consistency)), ode},
      {"ayf", "TSCD's limit, told the end", flow_map<D, Pr>(ContinuousTscd<1, C>(p, consistency)), ode},
      {"meanflow", "Mean flow", flow_map<D, Pr>(MeanFlow<C>(p, mean)), ode},
      {"imf", "Improved mean flow", flow_map<D, Pr>(ImprovedMeanFlow<C>(p, mean)), ode},
      {"lmd", "Lagrangian map", flow_map<D, Pr>(LagrangianFlowMap<C>(p, map)), ode},
      {"emd", "Eulerian map", flow_map<D, Pr>(EulerianFlowMap<C>(p, map)), ode},
      {"psd", "Progressive map", flow_map<D, Pr>(ProgressiveFlowMap<C>(p, map)), ode},
      {"tvm", "Terminal velocity", flow_map<D, Pr>(TerminalVelocity<C>(p)), ode},
      {"imm", "Moment matching", flow_map<D, Pr>(MomentMatching<C>(p, {.gap_exponent = 8})), ode},
      {"shortcut", "Shortcut", flow_map<D, Pr>(Shortcut<C>(p, {.levels = 5, .shortcut_share = 0.5})), ode},
      pi_flow<D, Pr>(p),
  };
}

}  // namespace

template <Device D, diffusion::DiffusionProcess Pr>
Students<D> tscd_stages(const World<D, Pr>& w) {
  return stages(w, [&](int k, const Net<D>& before) {
    using Rule = distill::WithinSegments<>;
    return w.distil(distill::Consistency<Rule, Pr>(w.process(), {}, {}, Rule{k}), before, w.teacher, w.steps / 4);
  });
}

template <Device D, diffusion::DiffusionProcess Pr>
std::vector<Method<D, Pr>> all_methods() {
  const Draw<D> ode = with<diffusion::DdimOde, D, Pr>(), renoise = with<diffusion::Tcd, D, Pr>({.eta = 1});
  const Pr p = make_process<Pr>();
  std::vector<Method<D, Pr>> all{
      {"teacher", "Teacher (DDIM)",
       [](const World<D, Pr>& w) {
         return Students<D>{{1, w.teacher}};
       },
       ode},
      {"pd", "Progressive", pd<D, Pr>, ode},
      {"cd", "Consistency", plain<D, Pr>(distill::Cd<Pr>(p)), ode},
      {"lcm", "Latent consistency", plain<D, Pr>(distill::Lcm<Pr>(p)), with<diffusion::Lcm, D, Pr>()},
      {"ctm", "Consistency trajectory", ctm<D, Pr>, ode},
      {"tcd", "TCD (Eq 5)", plain<D, Pr>(distill::Ctm<Pr>(p)), ode},
      {"pcm", "Phased consistency", plain<D, Pr>(distill::Pcm<4, Pr>(p)), ode},
      {"tscd", "TSCD (Hyper-SD)", tscd<D, Pr>, ode},
      {"lightning", "Lightning", lightning<D, Pr>, ode},
      {"add", "Adversarial", add<D, Pr>, with<diffusion::EulerAncestral, D, Pr>({}, diffusion::EndPoint::clean)},
      {"sds", "Score (SDS)", plain<D, Pr>(distill::Sds<Pr>(p, {.guidance = 1, .t_max = 0.5})), renoise},
      {"dmd", "Distribution (DMD)", dmd<D, Pr>, renoise},
  };
  // It straightens the windows of a table.
  if constexpr (Pr::discrete)
    all.insert(all.begin() + 8, {"perflow", "Rectified flow, 4", plain<D, Pr>(distill::PerFlow<Pr>(p)), ode,
                                 [](int n) { return n % 4 == 0; }});
  for (auto& method : continuous_methods<D, Pr>(in_continuous_time<Pr>(), ode)) all.push_back(std::move(method));
  return all;
}

template <Device D, diffusion::DiffusionProcess Pr>
std::vector<Tensor<float>> path(const World<D, Pr>& w, const Net<D>& net, const Tensor<float>& noise, int steps) {
  std::vector<Tensor<float>> out{noise};
  const diffusion::Sampler<diffusion::DdimOde, Pr> sampler({}, w.process());
  (void)sampler(
      net, noise.template to<D>(), Unconditional{}, steps, {},
      [&](int, diffusion::StepTimes, const Tensor<float, D>& x) { out.push_back(x.clone().template to<Cpu>()); });
  return out;
}

// clang-format off
template std::vector<Method<Cpu, diffusion::StableDiffusion>> all_methods();
template std::vector<Method<Cpu, diffusion::Flow>> all_methods();
template Students<Cpu> tscd_stages(const World<Cpu, diffusion::StableDiffusion>&);
template Students<Cpu> tscd_stages(const World<Cpu, diffusion::Flow>&);
template std::vector<Tensor<float>> path(const World<Cpu, diffusion::StableDiffusion>&, const Net<Cpu>&, const Tensor<float>&, int);
template std::vector<Tensor<float>> path(const World<Cpu, diffusion::Flow>&, const Net<Cpu>&, const Tensor<float>&, int);
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda, diffusion::StableDiffusion>> all_methods();
template std::vector<Method<Cuda, diffusion::Flow>> all_methods();
template Students<Cuda> tscd_stages(const World<Cuda, diffusion::StableDiffusion>&);
template Students<Cuda> tscd_stages(const World<Cuda, diffusion::Flow>&);
template std::vector<Tensor<float>> path(const World<Cuda, diffusion::StableDiffusion>&, const Net<Cuda>&, const Tensor<float>&, int);
template std::vector<Tensor<float>> path(const World<Cuda, diffusion::Flow>&, const Net<Cuda>&, const Tensor<float>&, int);
#endif
// clang-format on

}  // namespace playground
