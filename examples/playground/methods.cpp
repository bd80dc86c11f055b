// SPDX-License-Identifier: Apache-2.0
#include "methods.hpp"

#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/lcm.hpp>
#include <hypersd/distill/objectives/lightning.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/perflow.hpp>
#include <hypersd/distill/objectives/sds.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/distill/sum.hpp>

namespace playground {

namespace {

template <class Solver>
Draw with(typename Solver::Options options = {}, diffusion::EndPoint end = diffusion::EndPoint::first_entry) {
  return [=](const Net& net, const Tensor<float>& noise, int steps) {
    const diffusion::Sampler<Solver, diffusion::ScaledLinear, diffusion::Epsilon> sampler(options);
    return sampler(net, noise, Unconditional{}, steps, {.seed = 5, .end = end});
  };
}

/// Stages with k = 8, 4, 2, 1, each from the one before; `net_of(k, before)` trains one.
template <class NetOf>
Students stages(const World& w, NetOf&& net_of) {
  Students out;
  Net net = w.teacher;
  for (const int k : {8, 4, 2, 1}) out.insert_or_assign(k, net = net_of(k, net));
  return out;
}

Students tscd(const World& w) {
  Students last;
  auto all = stages(w, [&](int k, const Net& before) {
    using Rule = distill::WithinSegments<>;
    return w.distil(distill::Consistency<Rule>(table(), {}, {}, Rule{k}), before, w.teacher, w.steps / 4);
  });
  last.emplace(1, all.at(1));
  return last;
}
Students pd(const World& w) {
  return stages(w, [&](int k, const Net& before) {
    return w.distil(distill::Pd<>(table(), {.steps = k}), before, before, w.steps / 4);
  });
}
Students lightning(const World& w) {
  Critic critic(w.seed);
  return stages(w, [&](int k, const Net& before) {
    const distill::Lightning<Critic> o(table(), &critic, {.steps = k, .adversarial_weight = k == 8 ? 0 : 0.02});
    return w.distil(o, before, before, w.steps / 4);
  });
}
Students ctm(const World& w) {
  return {{1, w.distil(distill::sum_of(distill::weighted(1, distill::Ctm<>(table())),
                                       distill::weighted(0.01, distill::Denoising<>(table()))))}};
}
Students add(const World& w) {
  Critic critic(w.seed);
  return {{1, w.distil(distill::Add<Critic>(table(), &critic, {.distillation = 0.25, .guidance = 1}), 1e-3)}};
}
Students dmd(const World& w) {
  distill::FakeScore<Net> fake(nn::deep_copy(w.teacher), table(), 2e-3);
  const distill::Dmd<distill::FakeScore<Net>> o(table(), &fake, {.guidance = 1, .learn_per_update = 2});
  return {{1, w.distil(o, 1e-3)}};
}
/// An objective that needs nothing beside the three networks.
template <class Objective>
std::function<Students(const World&)> plain(Objective o) {
  return [=](const World& w) { return Students{{1, w.distil(o)}}; };
}

}  // namespace

std::vector<Method> all_methods() {
  const Draw ode = with<diffusion::DdimOde>(), renoise = with<diffusion::Tcd>({.eta = 1});
  return {
      {"teacher", "Teacher (DDIM)", [](const World& w) { return Students{{1, w.teacher}}; }, ode},
      {"pd", "Progressive", pd, ode},
      {"cd", "Consistency", plain(distill::Cd<>(table())), ode},
      {"lcm", "Latent consistency", plain(distill::Lcm<>(table())), with<diffusion::Lcm>()},
      {"ctm", "Consistency trajectory", ctm, ode},
      {"tcd", "TCD (Eq 5)", plain(distill::Ctm<>(table())), ode},
      {"pcm", "Phased consistency", plain(distill::Pcm<4>(table())), ode},
      {"tscd", "TSCD (Hyper-SD)", tscd, ode},
      {"perflow", "Rectified flow, 4", plain(distill::PerFlow(table())), ode},
      {"lightning", "Lightning", lightning, ode},
      {"add", "Adversarial", add, with<diffusion::EulerAncestral>({}, diffusion::EndPoint::clean)},
      {"sds", "Score (SDS)", plain(distill::Sds<>(table(), {.guidance = 1, .t_max = 0.5})), renoise},
      {"dmd", "Distribution (DMD)", dmd, renoise},
  };
}

std::vector<Tensor<float>> path(const Net& net, const Tensor<float>& noise, int steps) {
  std::vector<Tensor<float>> out{noise};
  const diffusion::Sampler<diffusion::DdimOde, diffusion::ScaledLinear, diffusion::Epsilon> sampler;
  (void)sampler(net, noise, Unconditional{}, steps, {},
                [&](int, diffusion::StepTimes, const Tensor<float>& x) { out.push_back(x.clone()); });
  return out;
}

}  // namespace playground
