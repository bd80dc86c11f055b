// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/trajectory_critic.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/interval.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/state.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/ema.hpp>
#include <hypersd/optim/schedule.hpp>

#include <cmath>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

/// \file
/// A world in which everything is known: mixtures of Gaussians in the plane, their exact denoiser, and small networks.

namespace playground {

using namespace hypersd;
using diffusion::Unconditional;
template <Device D>
using Batch = distill::Batch<float, D, Unconditional>;

/// The processes on which every method runs: Stable Diffusion's table, and a rectified flow whose network is told times
/// of the same range.
template <diffusion::DiffusionProcess Pr>
Pr make_process() {
  if constexpr (std::same_as<Pr, diffusion::Flow>)
    return diffusion::RectifiedFlow{{.time_scale = 999}};
  else
    return {};
}

/// Densities by name: `blobs`, `ring`, `moons`. Throws OptionError for another.
inline diffusion::Mixture density(const std::string& name) {
  std::vector<diffusion::Component> c;
  const double pi = std::numbers::pi;
  if (name == "blobs") {
    c = {{2, {1.4, 0.2}, 0.22, 0}, {1, {-1, 1}, 0.35, 0}, {1, {-0.5, -1.4}, 0.28, 0}};
  } else if (name == "ring") {
    for (int i = 0; i < 8; ++i) c.push_back({1, {1.6 * std::cos(i * pi / 4), 1.6 * std::sin(i * pi / 4)}, 0.12, 0});
  } else if (name == "moons") {
    for (int i = 0; i <= 12; ++i) {
      const double a = pi * i / 12;
      c.push_back({1, {1.2 * std::cos(a) - 0.6, 1.2 * std::sin(a) - 0.3}, 0.1, 0});
      c.push_back({1, {0.6 - 1.2 * std::cos(a), 0.3 - 1.2 * std::sin(a)}, 0.1, 0});
    }
  } else {
    fail<OptionError>("no density called '", name, "'; there are blobs, ring and moons");
  }
  return diffusion::Mixture(c);
}

/// A denoiser of points: three linear layers on x and waves of t, fast ones too, since some methods learn
/// functions that jump in t. With `end` it is a flow map with a second time, which begins as the denoiser.
template <Device D>
struct Net {
  using value_type = float;
  using device_type = D;
  static constexpr std::int64_t waves = 16, width = 96;
  nn::Linear<float, D> in{2 + waves, width}, mid{width, width}, last{width, width}, out{width, 2};
  std::optional<nn::Linear<float, D>> end{};

  /// Without `end` the second time has no effect.
  Var<float, D> operator()(const Var<float, D>& x, const nn::Interval<float, D>& t, const Unconditional&) const {
    auto h = in(autograd::concat_channels(std::vector<Var<float, D>>{x, features(t.t)}));
    if (end) h = autograd::add(h, (*end)(features(t.length())));
    h = autograd::silu(mid(autograd::silu(h)));
    return out(autograd::silu(last(h)));
  }
  Var<float, D> operator()(const Var<float, D>& x, const nn::Times<float, D>& t, const Unconditional& c) const {
    return (*this)(x, nn::Interval<float, D>{t, t}, c);
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "mid", mid, "last", last, "out", out, "end", end);
  }

 private:
  /// Waves of t + 1 with their tangents.
  static Var<float, D> features(const nn::Times<float, D>& times) {
    const auto t = times.value.template to<Cpu>();
    Tensor<float> rates;
    if (times.tangent.defined()) rates = times.tangent.template to<Cpu>();
    Tensor<float> values(Shape{t.size(), waves}), tangents(values.shape());
    for (std::int64_t b = 0; b < t.size(); ++b)
      for (std::int64_t j = 0; j < waves / 2; ++j) {
        const double speed = std::numbers::pi * std::exp2(static_cast<double>(j) * 0.5) / 1000;
        const double angle = speed * (static_cast<double>(t[b]) + 1);
        const double rate = rates.defined() ? speed * static_cast<double>(rates[b]) : 0;
        values[waves * b + 2 * j] = static_cast<float>(std::sin(angle));
        values[waves * b + 2 * j + 1] = static_cast<float>(std::cos(angle));
        tangents[waves * b + 2 * j] = static_cast<float>(rate * std::cos(angle));
        tangents[waves * b + 2 * j + 1] = static_cast<float>(-rate * std::sin(angle));
      }
    Var<float, D> v(values.to<D>());
    if (rates.defined()) v.set_tangent(tangents.to<D>());
    return v;
  }
};

/// A copy of `net` with a second time.
template <Device D>
Net<D> flow_map_of(const Net<D>& net) {
  Net<D> map = nn::deep_copy(net);
  map.end.emplace(Net<D>::waves, Net<D>::width, false);
  map.end->weight = {Shape{Net<D>::width, Net<D>::waves}, nn::Initializer::zeros()};
  nn::init_parameters(*map.end, 0, "end");
  return map;
}

/// A copy of `net` with several predictions, which begin as its own: policies (distill/policy.hpp).
template <Device D>
Net<D> policies_of(const Net<D>& net, int nodes) {
  Net<D> out = nn::deep_copy(net);
  out.out = nn::Linear<float, D>(Net<D>::width, 2 * nodes);
  nn::init_parameters(out.out, 0, "out");
  for (std::int64_t i = 0; i < 2 * nodes; i += 2) {
    out.out.weight.value().slice(i, i + 2).copy_from(net.out.weight.value());
    out.out.bias.value().slice(i, i + 2).copy_from(net.out.bias.value());
  }
  return out;
}

/// A critic of points, alone or with the point where a jump began, that learns from what it is shown.
template <Device D>
class Critic {
 public:
  using value_type = float;
  using device_type = D;
  using V = Var<float, D>;
  using Points = Tensor<float, D>;
  explicit Critic(std::uint64_t seed) {
    nn::init_parameters(*this, seed, "critic");
    parameters_ = optim::parameters_of<float, D>(*this);
    optimizer_.emplace(parameters_, optim::AdamWOptions{.beta1 = 0.5, .weight_decay = 0});
    nn::set_requires_grad(*this, false);
  }
  Critic(const Critic&) = delete;
  Critic& operator=(const Critic&) = delete;

  using Origin = distill::Origin<float, D>;
  V operator()(const V& x, const Points& t, const Unconditional& c) const {
    return (*this)(x, t, Origin{Points::zeros(x.shape()), t}, c);
  }
  V operator()(const V& x, const Points&, const Origin& origin, const Unconditional&) const {
    const auto h = in_(autograd::concat_channels(std::vector<V>{x, V(origin.x)}));
    return out_(autograd::leaky_relu(mid_(autograd::leaky_relu(h))));
  }
  template <class Average>
  void learn(const Points& fake, const Points& real, const Points& t, const Unconditional& c, const Average&) {
    update([&] { return distill::critic_loss((*this)(V(real), t, c), (*this)(V(fake), t, c)); });
  }
  template <class Average>
  void learn(const Points& fake, const Points& real, const Points& t, const Origin& o, const Unconditional& c,
             const Average&) {
    update([&] { return distill::non_saturating_critic_loss((*this)(V(real), t, o, c), (*this)(V(fake), t, o, c)); });
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in_, "mid", mid_, "out", out_);
  }

 private:
  template <class Loss>
  void update(Loss&& loss) {
    const autograd::EnableGrad guard;
    nn::set_requires_grad(*this, true);
    optimizer_->zero_grad();
    autograd::backward(loss());
    optimizer_->step(3e-3);
    optimizer_->zero_grad();
    nn::set_requires_grad(*this, false);
  }
  nn::Linear<float, D> in_{4, 48}, mid_{48, 48}, out_{48, 1};
  optim::ParameterList<float, D> parameters_;
  std::optional<optim::AdamW<float, D>> optimizer_;
};

/// Trains `net` for `steps` updates of `loss(step)`.
template <Device D, class Loss>
void train(Net<D>& net, std::int64_t steps, double rate, Loss&& loss) {
  nn::set_requires_grad(net, true);
  const auto parameters = optim::parameters_of(net);
  optim::AdamW<float, D> optimizer(parameters, {.weight_decay = 0});
  const optim::Schedule schedule = optim::FlatThenLinear{rate, steps, 0.5};
  for (std::int64_t i = 0; i < steps; ++i) {
    optimizer.zero_grad();
    autograd::backward(loss(i));
    optimizer.step(schedule(i), optim::clip_factor(optim::grad_norm(parameters), 1.0));
  }
  optimizer.zero_grad();
  nn::set_requires_grad(net, false);
}

/// What all methods start from: the density, its exact denoiser (on the host), and a network that imitates that.
template <Device D, diffusion::DiffusionProcess Pr>
struct World {
  diffusion::AnalyticDenoiser<Pr> exact;
  std::uint64_t seed = 0;
  std::int64_t steps = 600;
  Net<D> teacher{};

  World(const std::string& name, std::uint64_t s, std::int64_t teacher_steps, std::int64_t n)
      : exact(make_process<Pr>(), density(name)), seed(s), steps(n) {
    nn::init_parameters(teacher, seed, "teacher");
    train(teacher, teacher_steps, 3e-3, [&](std::int64_t i) {
      const auto sub = static_cast<std::uint64_t>(i);
      const auto x0 = data(256, sub);
      const auto noise = ops::normal<float>(x0.shape(), stream(seed, "teacher.noise", sub));
      const auto times = diffusion::uniform_times(process(), 256, stream(seed, "teacher.t", sub));
      const auto x = diffusion::add_noise(process(), x0, noise, times);
      return autograd::mse(
          diffusion::evaluate(process(), teacher, Var<float, D>(x.template to<D>()), times, Unconditional{}),
          diffusion::predict(process(), exact, x, times, Unconditional{}).template to<D>());
    });
  }
  [[nodiscard]] const Pr& process() const { return exact.process_value(); }
  [[nodiscard]] Tensor<float> data(std::int64_t n, std::uint64_t sub) const {
    return exact.template data<float>(n, stream(seed, "data", sub));
  }
  /// A student that starts from `from` and learns by `objective` from the network `guide`.
  template <class Objective, class Guide>
  [[nodiscard]] Net<D> distil(const Objective& objective, const Net<D>& from, const Guide& guide, std::int64_t updates,
                              double rate = 2e-3) const {
    Net<D> student = nn::deep_copy(from), target = nn::deep_copy(from);
    nn::set_requires_grad(target, false);
    const auto averages = optim::parameters_of(target, "", false), now = optim::parameters_of(student, "", false);
    train(student, updates, rate, [&](std::int64_t i) {
      if (i > 0) optim::ema_update(averages, now, 0.95);
      const Batch<D> batch{data(256, static_cast<std::uint64_t>(i)).template to<D>(), {}};
      return diffusion::learn_and_loss(objective, student, guide, target, batch, {seed, i}).loss;
    });
    return student;
  }
  template <class Objective>
  [[nodiscard]] Net<D> distil(const Objective& objective, double rate = 2e-3) const {
    return distil(objective, teacher, teacher, steps, rate);
  }
};

}  // namespace playground
