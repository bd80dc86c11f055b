// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objective.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
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
#include <hypersd/distill/sum.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/optim/ema.hpp>

#include "toy_denoiser.hpp"

using namespace hypersd;
using namespace hypersd::distill;

namespace {

using Net = toy::Denoiser;
using diffusion::Unconditional;
using Data = Batch<double, Cpu, Unconditional>;

/// A small critic of points, which learns by the hinge loss.
struct Critic {
  nn::Linear<double> in{2, 32}, mid{32, 32}, out{32, 1};
  optim::ParameterList<double> parameters;
  std::optional<optim::AdamW<double>> optimizer;
  double learning_rate = 3e-3;

  Critic() {
    nn::init_parameters(*this, 3, "critic");
    parameters = optim::parameters_of<double, Cpu>(*this);
    optimizer.emplace(parameters, optim::AdamWOptions{.beta1 = 0.5, .weight_decay = 0});
    nn::set_requires_grad(*this, false);
  }
  using value_type = double;
  using device_type = Cpu;
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "mid", mid, "out", out);
  }
  Var<double> operator()(const Var<double>& x, const Tensor<double>&, const Unconditional&) const {
    return out(autograd::leaky_relu(mid(autograd::leaky_relu(in(x)))));
  }
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Origin<double, Cpu>&,
                         const Unconditional& c) const {
    return (*this)(x, t, c);
  }
  template <class Average>
  void learn(const Tensor<double>& fake, const Tensor<double>& real, const Tensor<double>& t, const Unconditional& c,
             const Average&) {
    update([&] { return critic_loss((*this)(Var<double>(real), t, c), (*this)(Var<double>(fake), t, c)); });
  }
  template <class Average>
  void learn(const Tensor<double>& fake, const Tensor<double>& real, const Tensor<double>& t,
             const Origin<double, Cpu>&, const Unconditional& c, const Average& average) {
    learn(fake, real, t, c, average);
  }

 protected:
  template <class Loss>
  void update(const Loss& loss) {
    const autograd::EnableGrad guard;
    nn::set_requires_grad(*this, true);
    optimizer->zero_grad();
    autograd::backward(loss());
    optimizer->step(learning_rate);
    optimizer->zero_grad();
    nn::set_requires_grad(*this, false);
  }
};

/// One that learns the logarithm of a ratio of densities.
struct RatioCritic : Critic {
  using form = NonSaturating;
  template <class Average>
  void learn(const Tensor<double>& fake, const Tensor<double>& real, const Tensor<double>& t, const Unconditional& c,
             const Average&) {
    update(
        [&] { return non_saturating_critic_loss((*this)(Var<double>(real), t, c), (*this)(Var<double>(fake), t, c)); });
  }
};

/// Trains a copy of `start` by `objective` against `teacher`.
template <class Objective>
Net train(const Objective& objective, std::int64_t steps = 300, double rate = 2e-3, const Net& start = toy::teacher(),
          const Net& teacher = toy::teacher()) {
  Net student = nn::deep_copy(start), target = nn::deep_copy(start);
  nn::set_requires_grad(student, true);
  nn::set_requires_grad(target, false);
  const auto parameters = optim::parameters_of(student), averages = optim::parameters_of(target, "", false);
  optim::AdamW<double> optimizer(parameters, {.weight_decay = 0});
  const optim::Schedule schedule = optim::FlatThenLinear{rate, steps, 0.5};
  for (std::int64_t i = 0; i < steps; ++i) {
    const Data batch{toy::exact().data<double>(128, stream(2, "data", static_cast<std::uint64_t>(i))), {}};
    optimizer.zero_grad();
    autograd::backward(diffusion::learn_and_loss(objective, student, teacher, target, batch, {2, i}).loss);
    optimizer.step(schedule(i), optim::clip_factor(optim::grad_norm(parameters), 1.0));
    optim::ema_update(averages, parameters, 0.95);
  }
  optimizer.zero_grad();
  nn::set_requires_grad(student, false);
  return student;
}

Tensor<double> draw(const Net& net, int steps, std::int64_t n = 512) {
  const diffusion::Sampler<diffusion::DdimOde, diffusion::StableDiffusion> sampler;
  return sampler(net, ops::normal<double>(Shape{n, 2}, stream(99, "evaluation")), Unconditional{}, steps);
}

double mean_distance(const Tensor<double>& a, const Tensor<double>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.dim(0); ++i)
    for (std::int64_t j = 0; j < b.dim(0); ++j) sum += std::hypot(a[2 * i] - b[2 * j], a[2 * i + 1] - b[2 * j + 1]);
  return sum / static_cast<double>(a.dim(0) * b.dim(0));
}
/// Energy distance 2 E|a - b| - E|a - a'| - E|b - b'| of samples to data: 0 only for equal distributions.
double energy_distance(const Tensor<double>& x) {
  const auto data = toy::exact().data<double>(1024, stream(98, "data"));
  return 2 * mean_distance(x, data) - mean_distance(x, x) - mean_distance(data, data);
}
/// Mean distance of end points from those of the teacher's 40 steps, from the same noise.
double flow_error(const Net& net, int steps) {
  const auto goal = draw(toy::teacher(), 40), got = draw(net, steps);
  double sum = 0;
  for (std::int64_t b = 0; b < goal.dim(0); ++b)
    sum += std::hypot(got[2 * b] - goal[2 * b], got[2 * b + 1] - goal[2 * b + 1]);
  return sum / static_cast<double>(goal.dim(0));
}
double log_density(const Tensor<double>& x) {
  const auto truth = toy::exact();
  double sum = 0;
  for (std::int64_t b = 0; b < x.dim(0); ++b)
    sum += truth.mixture().log_density(std::array{x[2 * b], x[2 * b + 1]}, truth.process_value().level(0));
  return sum / static_cast<double>(x.dim(0));
}

/// The student's flow error falls below `factor` of the teacher's with as many steps.
void follows(const std::string& name, const Net& student, int steps, double factor) {
  const double before = flow_error(toy::teacher(), steps), after = flow_error(student, steps);
  MESSAGE(name << ", " << steps << " steps: teacher " << before << ", student " << after);
  CAPTURE(name);
  CHECK(after < factor * before);
}
/// The student's one-step samples are nearer to the data than `factor` of the teacher's.
void matches(const std::string& name, const Net& student, double factor) {
  const double before = energy_distance(draw(toy::teacher(), 1)), after = energy_distance(draw(student, 1));
  MESSAGE(name << ": energy distance of one step: teacher " << before << ", student " << after);
  CAPTURE(name);
  CHECK(after < factor * before);
}

}  // namespace

TEST_CASE("Progressive distillation by halves: each stage follows the one before") {
  Net net = toy::teacher();
  for (const int steps : {8, 4, 2, 1}) net = train(Pd<>(toy::table(), {.steps = steps}), 200, 2e-3, net, net);
  follows("pd", net, 1, 0.6);
}

TEST_CASE("Consistency objectives bring few steps near the teacher's many") {
  follows("cd", train(Cd<>(toy::table())), 1, 0.7);
  follows("lcm", train(Lcm<>(toy::table())), 1, 0.7);
  const auto ctm = sum_of(weighted(1, Ctm<>(toy::table())), weighted(0.01, Denoising<>(toy::table())));
  follows("ctm", train(ctm), 2, 0.7);
  follows("pcm", train(Pcm<4>(toy::table())), 4, 0.7);
}

TEST_CASE("Rectified flow: a straight window needs one step") {
  // One window: at the ends of more, what is to be learned jumps in t, which this network's slow features cannot.
  const PerFlow<> objective(toy::table(), {.windows = 1, .teacher_steps = 8});
  follows("perflow", train(objective, 1000, 4e-3), 1, 0.6);
}

TEST_CASE("Progressive adversarial distillation follows by MSE, and matches with a critic") {
  Net net = toy::teacher();
  for (const int steps : {4, 2, 1})
    net = train(Lightning<NoCritic>(toy::table(), nullptr, {.steps = steps}), 200, 2e-3, net, net);
  follows("lightning, mse", net, 1, 0.6);
  Critic critic;
  const Lightning<Critic> judged(toy::table(), &critic,
                                 {.steps = 1, .teacher_steps = 2, .mse_weight = 0.1, .adversarial_weight = 0.1});
  matches("lightning, critic", train(judged, 300, 1e-3, net, net), 0.5);
}

TEST_CASE("Distribution matching and adversarial distillation bring one step near the data") {
  FakeScore<Net> fake(nn::deep_copy(toy::teacher()), toy::table(), 2e-3);
  matches("dmd", train(Dmd<FakeScore<Net>>(toy::table(), &fake, {.guidance = 1, .learn_per_update = 2}), 400, 1e-3),
          0.5);
  FakeScore<Net> second(nn::deep_copy(toy::teacher()), toy::table(), 2e-3);
  RatioCritic ratio;
  const Dmd<FakeScore<Net>, diffusion::Discrete<>, RatioCritic> divergence(
      toy::table(), &second,
      {.guidance = 1, .learn_per_update = 2, .judge_noised = true, .divergence = Divergence::jensen_shannon}, &ratio);
  matches("dmd, Jensen-Shannon", train(divergence, 400, 1e-3), 0.5);
  Critic critic;
  critic.learning_rate = 1e-3;  // not faster than the student, or the two run in circles
  matches("add", train(Add<Critic>(toy::table(), &critic, {.start = {999}, .guidance = 1}), 400, 1e-3), 0.5);
}

TEST_CASE("Score distillation seeks modes: its samples grow more likely") {
  const Net net = train(Sds<>(toy::table(), {.guidance = 1, .t_max = 0.3, .sigma_weight = false}), 400, 1e-3);
  const double before = log_density(draw(toy::teacher(), 1)), after = log_density(draw(net, 1));
  MESSAGE("sds: mean log density of one step: teacher " << before << ", student " << after);
  CHECK(after > before + 0.5);
}
