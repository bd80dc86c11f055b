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

template <class Solver, Device D>
Draw<D> with(typename Solver::Options options = {}, diffusion::EndPoint end = diffusion::EndPoint::first_entry) {
  return [=](const Net<D>& net, const Tensor<float>& noise, int steps) {
    const diffusion::Sampler<Solver, diffusion::ScaledLinear, diffusion::Epsilon> sampler(options);
    diffusion::SampleOptions o;
    o.seed = 5, o.end = end;
    return sampler(net, noise.template to<D>(), Unconditional{}, steps, o).template to<Cpu>();
  };
}

/// Stages with k = 8, 4, 2, 1, each from the one before; `net_of(k, before)` trains one.
template <Device D, class NetOf>
Students<D> stages(const World<D>& w, NetOf&& net_of) {
  Students<D> out;
  Net<D> net = w.teacher;
  for (const int k : {8, 4, 2, 1}) out.insert_or_assign(k, net = net_of(k, net));
  return out;
}

template <Device D>
Students<D> tscd(const World<D>& w) {
  Students<D> last;
  auto all = stages(w, [&](int k, const Net<D>& before) {
    using Rule = distill::WithinSegments<>;
    return w.distil(distill::Consistency<Rule>(table(), {}, {}, Rule{k}), before, w.teacher, w.steps / 4);
  });
  last.emplace(1, all.at(1));
  return last;
}
template <Device D>
Students<D> pd(const World<D>& w) {
  return stages(w, [&](int k, const Net<D>& before) {
    return w.distil(distill::Pd<>(table(), {.steps = k}), before, before, w.steps / 4);
  });
}
template <Device D>
Students<D> lightning(const World<D>& w) {
  Critic<D> critic(w.seed);
  return stages(w, [&](int k, const Net<D>& before) {
    const distill::Lightning<Critic<D>> o(table(), &critic, {.steps = k, .adversarial_weight = k == 8 ? 0 : 0.02});
    return w.distil(o, before, before, w.steps / 4);
  });
}
template <Device D>
Students<D> ctm(const World<D>& w) {
  return {{1, w.distil(distill::sum_of(distill::weighted(1, distill::Ctm<>(table())),
                                       distill::weighted(0.01, distill::Denoising<>(table()))))}};
}
template <Device D>
Students<D> add(const World<D>& w) {
  Critic<D> critic(w.seed);
  return {{1, w.distil(distill::Add<Critic<D>>(table(), &critic, {.distillation = 0.25, .guidance = 1}), 1e-3)}};
}
template <Device D>
Students<D> dmd(const World<D>& w) {
  distill::FakeScore<Net<D>> fake(nn::deep_copy(w.teacher), table(), 2e-3);
  const distill::Dmd<distill::FakeScore<Net<D>>> o(table(), &fake, {.guidance = 1, .learn_per_update = 2});
  return {{1, w.distil(o, 1e-3)}};
}
/// An objective that needs nothing beside the three networks.
template <Device D, class Objective>
std::function<Students<D>(const World<D>&)> plain(Objective o) {
  return [=](const World<D>& w) { return Students<D>{{1, w.distil(o)}}; };
}

}  // namespace

template <Device D>
std::vector<Method<D>> all_methods() {
  const Draw<D> ode = with<diffusion::DdimOde, D>(), renoise = with<diffusion::Tcd, D>({.eta = 1});
  return {
      {"teacher", "Teacher (DDIM)",
       [](const World<D>& w) {
         return Students<D>{{1, w.teacher}};
       },
       ode},
      {"pd", "Progressive", pd<D>, ode},
      {"cd", "Consistency", plain<D>(distill::Cd<>(table())), ode},
      {"lcm", "Latent consistency", plain<D>(distill::Lcm<>(table())), with<diffusion::Lcm, D>()},
      {"ctm", "Consistency trajectory", ctm<D>, ode},
      {"tcd", "TCD (Eq 5)", plain<D>(distill::Ctm<>(table())), ode},
      {"pcm", "Phased consistency", plain<D>(distill::Pcm<4>(table())), ode},
      {"tscd", "TSCD (Hyper-SD)", tscd<D>, ode},
      {"perflow", "Rectified flow, 4", plain<D>(distill::PerFlow(table())), ode},
      {"lightning", "Lightning", lightning<D>, ode},
      {"add", "Adversarial", add<D>, with<diffusion::EulerAncestral, D>({}, diffusion::EndPoint::clean)},
      {"sds", "Score (SDS)", plain<D>(distill::Sds<>(table(), {.guidance = 1, .t_max = 0.5})), renoise},
      {"dmd", "Distribution (DMD)", dmd<D>, renoise},
  };
}

template <Device D>
std::vector<Tensor<float>> path(const Net<D>& net, const Tensor<float>& noise, int steps) {
  std::vector<Tensor<float>> out{noise};
  const diffusion::Sampler<diffusion::DdimOde, diffusion::ScaledLinear, diffusion::Epsilon> sampler;
  (void)sampler(
      net, noise.template to<D>(), Unconditional{}, steps, {},
      [&](int, diffusion::StepTimes, const Tensor<float, D>& x) { out.push_back(x.clone().template to<Cpu>()); });
  return out;
}

template std::vector<Method<Cpu>> all_methods();
template std::vector<Tensor<float>> path(const Net<Cpu>&, const Tensor<float>&, int);
#if HYPERSD_HAS_CUDA
template std::vector<Method<Cuda>> all_methods();
template std::vector<Tensor<float>> path(const Net<Cuda>&, const Tensor<float>&, int);
#endif

}  // namespace playground
