// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objective.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/ctm.hpp>
#include <hypersd/distill/objectives/data_terms.hpp>
#include <hypersd/distill/objectives/decoupled_dmd.hpp>
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

TEST_CASE("Distribution matching with inputs that the student makes itself brings four steps near the data") {
  FakeScore<Net> fake(nn::deep_copy(toy::teacher()), toy::table(), 2e-3);
  const DmdOptions options{.start = {999, 749, 499, 249}, .simulate = true, .guidance = 1, .learn_per_update = 2};
  const auto student = train(Dmd<FakeScore<Net>>(toy::table(), &fake, options), 400, 1e-3);
  const diffusion::Sampler<diffusion::Tcd, diffusion::StableDiffusion> renoise({.eta = 1});
  const auto four = [&](const Net& net) {
    return energy_distance(
        renoise(net, ops::normal<double>(Shape{512, 2}, stream(99, "evaluation")), Unconditional{}, 4));
  };
  const double before = four(toy::teacher()), after = four(student);
  MESSAGE("dmd, simulated: energy distance of four steps with noise: teacher " << before << ", student " << after);
  CHECK(after < 0.6 * before);
}

namespace {

/// Two classes of points, conditions -1 and 1, and both for the condition 0.
struct Classes {
  diffusion::AnalyticDenoiser<> left{toy::process(), diffusion::Mixture({{1, {-1.2, 0}, 0.4, 0}})},
      right{toy::process(), diffusion::Mixture({{1, {1.2, 0.5}, 0.4, 0}})},
      both{toy::process(), diffusion::Mixture({{1, {-1.2, 0}, 0.4, 0}, {1, {1.2, 0.5}, 0.4, 0}})};

  Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>& t, const Tensor<double>& c) const {
    const auto l = left(x, t, Unconditional{}), r = right(x, t, Unconditional{}), b = both(x, t, Unconditional{});
    Tensor<double> out(x.shape());
    for (std::int64_t i = 0; i < out.size(); ++i) out[i] = c[i / 2] < 0 ? l[i] : c[i / 2] > 0 ? r[i] : b[i];
    return out;
  }
  [[nodiscard]] Batch<double, Cpu, Tensor<double>> batch(std::int64_t n, Stream s) const {
    auto x = left.data<double>(n, s);
    const auto other = right.data<double>(n, s);
    Tensor<double> c(Shape{n});
    for (std::int64_t b = 0; b < n; ++b) c[b] = b % 2 ? 1 : -1;
    for (std::int64_t i = 0; i < x.size(); ++i) x[i] = c[i / 2] > 0 ? other[i] : x[i];
    return {x, {c, Tensor<double>::zeros(Shape{n})}};
  }
};
/// `toy::Denoiser` that is told the class.
struct ClassNet {
  using value_type = double;
  using device_type = Cpu;
  toy::Denoiser net{};
  nn::Linear<double> label{1, 2, false};

  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Tensor<double>& c) const {
    return net(autograd::add(x, label(Var<double>(c.reshape({c.size(), 1})))), t, Unconditional{});
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "net", net, "label", label);
  }
};

}  // namespace

TEST_CASE("Decoupled distribution matching brings one step near the guided teacher's samples, class by class") {
  const Classes classes;
  const auto descend = [&](ClassNet& net, std::int64_t steps, double rate, const auto& loss) {
    nn::set_requires_grad(net, true);
    const auto parameters = optim::parameters_of(net);
    optim::AdamW<double> optimizer(parameters, {.weight_decay = 0});
    const optim::Schedule schedule = optim::Cosine{rate, steps};
    for (std::int64_t i = 0; i < steps; ++i) {
      optimizer.zero_grad();
      autograd::backward(loss(i, classes.batch(128, stream(2, "data", static_cast<std::uint64_t>(i)))));
      optimizer.step(schedule(i), optim::clip_factor(optim::grad_norm(parameters), 1.0));
    }
    optimizer.zero_grad();
    nn::set_requires_grad(net, false);
  };
  ClassNet start;
  nn::init_parameters(start, 7, "classes");
  descend(start, 800, 5e-3, [&](std::int64_t i, const auto& batch) {
    const Randomness random{1, i};
    const auto t = diffusion::uniform_times(toy::process(), 128, random.stream("t"));
    const auto noise = diffusion::normals<double, Cpu>(batch.x0.shape(), random, "noise");
    const auto x = diffusion::add_noise(toy::process(), batch.x0, noise, t);
    return autograd::mse(diffusion::evaluate(toy::process(), start, Var<double>(x), t, batch.condition.conditional),
                         diffusion::predict(toy::process(), classes, x, t, batch.condition.conditional));
  });
  constexpr double guidance = 2;
  const auto told = classes.batch(512, stream(97, "class"));
  const auto noise = ops::normal<double>(told.x0.shape(), stream(99, "evaluation"));
  const auto draw_by = [&](const auto& net, int steps, double scale) {
    return diffusion::Sampler<diffusion::DdimOde, diffusion::StableDiffusion, diffusion::ClassifierFree>(
        {}, {}, {.scale = scale})(net, noise, told.condition, steps);
  };
  const auto goal = draw_by(classes, 40, guidance);
  // Energy distances of both classes, from their rows.
  const auto distance = [&](const Tensor<double>& x) {
    double sum = 0;
    for (const std::int64_t first : {0, 1}) {
      Tensor<double> a(Shape{256, 2}), b(Shape{256, 2});
      for (std::int64_t i = 0; i < 512; ++i)
        a[i] = x[i / 2 * 4 + 2 * first + i % 2], b[i] = goal[i / 2 * 4 + 2 * first + i % 2];
      sum += 2 * mean_distance(a, b) - mean_distance(a, a) - mean_distance(b, b);
    }
    return sum;
  };
  ClassNet student = nn::deep_copy(start);
  FakeScore<ClassNet> fake(nn::deep_copy(start), toy::table(), 2e-3);
  const DecoupledDmd<FakeScore<ClassNet>> objective(
      toy::table(), &fake, {.guidance = guidance, .learn_per_update = 2, .regression_weight = 0});
  descend(student, 400, 1e-3, [&](std::int64_t i, const auto& batch) {
    return diffusion::learn_and_loss(objective, student, classes, student, batch, {2, i}).loss;
  });
  const double before = distance(draw_by(start, 1, guidance)), after = distance(draw_by(student, 1, 1));
  MESSAGE("decoupled dmd: energy distance of one step: teacher " << before << ", student " << after);
  CHECK(after < 0.5 * before);
}

TEST_CASE("Score distillation seeks modes: its samples grow more likely") {
  const Net net = train(Sds<>(toy::table(), {.guidance = 1, .t_max = 0.3, .sigma_weight = false}), 400, 1e-3);
  const double before = log_density(draw(toy::teacher(), 1)), after = log_density(draw(net, 1));
  MESSAGE("sds: mean log density of one step: teacher " << before << ", student " << after);
  CHECK(after > before + 0.5);
}
