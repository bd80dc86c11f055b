// SPDX-License-Identifier: Apache-2.0
// PD, CD, CTM, TSCD, PCM and DMD on a rectified flow: the code of any process, with one type changed.
#include <hypersd/diffusion/processes.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <hypersd/distill/objectives/pd.hpp>
#include <hypersd/distill/objectives/tscd.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/optim/ema.hpp>

#include "toy_denoiser.hpp"

using namespace hypersd;

namespace {

/// The one type. Stable Diffusion's process, or any other, would do as well.
using Process = diffusion::Flow;

using Net = toy::Denoiser;
using diffusion::Unconditional;
using Data = distill::Batch<double, Cpu, Unconditional>;

/// Times as large as a table's, which the network's features are made for.
Process process() { return diffusion::RectifiedFlow{{.time_scale = 999}}; }

const diffusion::AnalyticDenoiser<Process>& exact() {
  static const diffusion::AnalyticDenoiser<Process> net(process(), toy::exact().mixture());
  return net;
}

/// Trains a copy of `start` for `steps` updates of `loss(net, step)`.
template <class Loss>
Net trained(const Net& start, std::int64_t steps, double rate, Loss&& loss) {
  Net net = nn::deep_copy(start);
  nn::set_requires_grad(net, true);
  const auto parameters = optim::parameters_of(net);
  optim::AdamW<double> optimizer(parameters, {.weight_decay = 0});
  const optim::Schedule schedule = optim::FlatThenLinear{rate, steps, 0.5};
  for (std::int64_t i = 0; i < steps; ++i) {
    optimizer.zero_grad();
    autograd::backward(loss(net, i));
    optimizer.step(schedule(i), optim::clip_factor(optim::grad_norm(parameters), 1.0));
  }
  optimizer.zero_grad();
  nn::set_requires_grad(net, false);
  return net;
}

/// A network fitted to the exact prediction.
const Net& teacher() {
  static const Net net = [] {
    Net start;
    nn::init_parameters(start, 7, "toy");
    return trained(start, 1500, 5e-3, [](const Net& n, std::int64_t i) {
      const auto sub = static_cast<std::uint64_t>(i);
      const auto x0 = exact().data<double>(128, stream(1, "toy.data", sub));
      const auto t = diffusion::uniform_times(process(), 128, stream(1, "toy.time", sub));
      const auto x =
          diffusion::add_noise(process(), x0, ops::normal<double>(x0.shape(), stream(1, "toy.noise", sub)), t);
      return autograd::mse(diffusion::evaluate(process(), n, Var<double>(x), t, Unconditional{}),
                           diffusion::predict(process(), exact(), x, t, Unconditional{}));
    });
  }();
  return net;
}

template <class Objective>
Net distilled(const Objective& objective, std::int64_t steps = 250, const Net& from = teacher(), double rate = 2e-3) {
  Net target = nn::deep_copy(from);
  nn::set_requires_grad(target, false);
  const auto averages = optim::parameters_of(target, "", false);
  const Net guide = nn::deep_copy(from);
  return trained(from, steps, rate, [&](const Net& student, std::int64_t i) {
    Net handles = student;
    if (i > 0) optim::ema_update(averages, optim::parameters_of(handles, "", false), 0.95);
    const Data batch{exact().data<double>(128, stream(2, "data", static_cast<std::uint64_t>(i))), {}};
    return diffusion::learn_and_loss(objective, student, guide, target, batch, {2, i}).loss;
  });
}

Tensor<double> draw(const Net& net, int steps) {
  const diffusion::Sampler<diffusion::DdimOde, Process> sampler({}, process());
  return sampler(net, ops::normal<double>(Shape{256, 2}, stream(99, "evaluation")), Unconditional{}, steps);
}
/// Mean distance of end points from those of the teacher's 40 steps, from the same noise.
double flow_error(const Net& net, int steps) {
  const auto goal = draw(teacher(), 40), got = draw(net, steps);
  double sum = 0;
  for (std::int64_t b = 0; b < goal.dim(0); ++b)
    sum += std::hypot(got[2 * b] - goal[2 * b], got[2 * b + 1] - goal[2 * b + 1]);
  return sum / static_cast<double>(goal.dim(0));
}

}  // namespace

TEST_CASE(
    "consistency objectives on a rectified flow end nearer to the teacher's flow than the teacher in as many steps") {
  const double one = flow_error(teacher(), 1), two = flow_error(teacher(), 2), four = flow_error(teacher(), 4);
  CHECK(flow_error(distilled(distill::Cd<Process>(process()), 600), 1) < 0.5 * one);
  CHECK(flow_error(distilled(distill::Ctm<Process>(process())), 2) < 0.5 * two);
  CHECK(flow_error(distilled(distill::Tscd<4, Process>(process())), 4) < 0.5 * four);
  CHECK(flow_error(distilled(distill::Pcm<4, Process>(process())), 4) < 0.5 * four);
}

TEST_CASE("progressive distillation on a rectified flow halves the steps") {
  const Net four = distilled(distill::Pd<Process>(process(), {.steps = 4}));
  const Net two = distilled(distill::Pd<Process>(process(), {.steps = 2}), 250, four);
  CHECK(flow_error(four, 4) < 0.5 * flow_error(teacher(), 4));
  CHECK(flow_error(two, 2) < 0.5 * flow_error(teacher(), 2));
}

TEST_CASE("distribution matching on a rectified flow spreads one step over the data") {
  using Fake = distill::FakeScore<Net, Process>;
  Fake fake(nn::deep_copy(teacher()), process(), 2e-3);
  const Net student = distilled(distill::Dmd<Fake, Process>(process(), &fake, {.guidance = 1}), 300, teacher(), 1e-3);
  // One step of the teacher gives the mean of the data, which has no spread.
  const auto spread = [](const Tensor<double>& x) {
    double mean[2] = {}, squares = 0;
    for (std::int64_t b = 0; b < x.dim(0); ++b)
      for (std::int64_t j = 0; j < 2; ++j) {
        mean[j] += x[2 * b + j] / static_cast<double>(x.dim(0));
        squares += x[2 * b + j] * x[2 * b + j] / static_cast<double>(x.dim(0));
      }
    return std::sqrt(squares - mean[0] * mean[0] - mean[1] * mean[1]);
  };
  const double data = spread(exact().data<double>(4096, stream(3, "data")));
  CHECK(spread(draw(teacher(), 1)) < 0.2 * data);
  CHECK(spread(draw(student, 1)) == doctest::Approx(data).epsilon(0.3));
}
