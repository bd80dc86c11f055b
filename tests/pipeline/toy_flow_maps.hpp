// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <hypersd/autograd/functions.hpp>
#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/evaluate_along.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/interval.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/ema.hpp>
#include <hypersd/optim/schedule.hpp>

/// \file
/// Points of the plane on a rectified flow, for objectives of continuous time.

namespace toy_map {

using namespace hypersd;
using diffusion::Flow;
using diffusion::Unconditional;
using Data = diffusion::Batch<double, Cpu, Unconditional>;
inline constexpr std::int64_t batch_size = 64;

/// sin and cos of j pi t, j = 1 ... 4, with the tangents of t.
inline Var<double> waves(const nn::Times<double>& t) {
  const std::int64_t batch = t.value.size();
  Tensor<double> out(Shape{batch, 8}), tangent(Shape{batch, 8});
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t j = 0; j < 4; ++j) {
      const double speed = 3.14159265 * static_cast<double>(j + 1), angle = speed * t.value[b];
      const double rate = t.tangent.defined() ? speed * t.tangent[b] : 0;
      out[8 * b + 2 * j] = std::sin(angle), out[8 * b + 2 * j + 1] = std::cos(angle);
      tangent[8 * b + 2 * j] = rate * std::cos(angle), tangent[8 * b + 2 * j + 1] = -rate * std::sin(angle);
    }
  Var<double> v(out);
  if (t.tangent.defined()) v.set_tangent(tangent);
  return v;
}

/// A velocity of points.
struct Velocity {
  using value_type = double;
  using device_type = Cpu;
  nn::Linear<double> in{2 + 8, 64}, mid{64, 64}, out{64, 2};

  Var<double> operator()(const Var<double>& x, const nn::Times<double>& t, const Unconditional&) const {
    const auto h = in(autograd::concat_channels(std::vector<Var<double>>{x, waves(t)}));
    return out(autograd::silu(mid(autograd::silu(h))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "mid", mid, "out", out);
  }
};

/// The same with a second time, which begins as the velocity.
struct Map : Velocity {
  nn::Linear<double> end{8, 64, false};

  Map() = default;
  /// A student of `v`.
  explicit Map(const Velocity& v) : Velocity(nn::deep_copy(v)) {
    end.weight = {Shape{64, 8}, nn::Initializer::zeros()};
    nn::init_parameters(end, 1, "end");
  }
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Unconditional&) const {
    const auto h = in(autograd::concat_channels(std::vector<Var<double>>{x, waves(t.t)}));
    const auto both = autograd::add(h, end(waves(t.length())));
    return out(autograd::silu(mid(autograd::silu(both))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    Velocity::visit(f, prefix);
    nn::visit_members(f, prefix, "end", end);
  }
};

inline diffusion::AnalyticDenoiser<Flow> exact() {
  return {Flow(), diffusion::Mixture({{2, {1.5, 0}, 0.2, 0}, {1, {-1, 1}, 0.4, 0}, {1, {-0.5, -1.5}, 0.3, 0}})};
}

/// Updates of `net` by the gradient of `loss(step, batch)`.
template <class Net, class Loss>
void descend(Net& net, std::int64_t steps, double rate, const Loss& loss) {
  nn::set_requires_grad(net, true);
  const auto parameters = optim::parameters_of(net);
  optim::AdamW<double> optimizer(parameters, {.weight_decay = 0});
  const optim::Schedule schedule = optim::Cosine{rate, steps};
  for (std::int64_t i = 0; i < steps; ++i) {
    const Data batch{exact().data<double>(batch_size, stream(2, "data", static_cast<std::uint64_t>(i))), {}};
    optimizer.zero_grad();
    autograd::backward(loss(i, batch));
    optimizer.step(schedule(i), optim::clip_factor(optim::grad_norm(parameters), 1.0));
  }
  optimizer.zero_grad();
  nn::set_requires_grad(net, false);
}

/// A network fitted to the exact velocity.
inline const Velocity& teacher() {
  static const Velocity net = [] {
    Velocity n;
    nn::init_parameters(n, 7, "toy");
    const auto truth = exact();
    descend(n, 1000, 5e-3, [&](std::int64_t i, const Data& batch) {
      const auto sub = static_cast<std::uint64_t>(i);
      const auto t = diffusion::uniform_times(Flow(), batch_size, stream(1, "time", sub));
      const auto x =
          diffusion::add_noise(Flow(), batch.x0, ops::normal<double>(batch.x0.shape(), stream(1, "z", sub)), t);
      return autograd::mse(diffusion::evaluate(Flow(), n, Var<double>(x), t, Unconditional{}),
                           diffusion::predict(Flow(), truth, x, t, Unconditional{}));
    });
    return n;
  }();
  return net;
}

/// A copy of `start` trained by `objective` with `teacher`, and the student's moving average as the target.
template <class Objective, class Net, class Teacher>
Net train_by(const Teacher& teacher, const Objective& objective, const Net& start, std::int64_t steps,
             double rate = 2e-3) {
  Net student = nn::deep_copy(start), target = nn::deep_copy(start);
  nn::set_requires_grad(target, false);
  const auto averages = optim::parameters_of(target, "", false), now = optim::parameters_of(student, "", false);
  descend(student, steps, rate, [&](std::int64_t i, const Data& batch) {
    if (i > 0) optim::ema_update(averages, now, 0.95);
    return diffusion::learn_and_loss(objective, student, teacher, target, batch, {2, i}).loss;
  });
  return student;
}
/// The same with the exact teacher.
template <class Objective, class Net>
Net train(const Objective& objective, const Net& start, std::int64_t steps, double rate = 2e-3) {
  return train_by(exact(), objective, start, steps, rate);
}

/// Where `net` takes the same noise in `steps` steps of the flow.
template <class Net>
Tensor<double> draw(const Net& net, int steps) {
  const diffusion::Sampler<diffusion::DdimOde, Flow> sampler;
  return sampler(net, ops::normal<double>(Shape{256, 2}, stream(99, "evaluation")), Unconditional{}, steps);
}
/// Mean distance from where the exact flow ends.
inline double flow_error(const Tensor<double>& got) {
  static const auto goal = draw(exact(), 100);
  double sum = 0;
  for (std::int64_t b = 0; b < goal.dim(0); ++b)
    sum += std::hypot(got[2 * b] - goal[2 * b], got[2 * b + 1] - goal[2 * b + 1]);
  return sum / static_cast<double>(goal.dim(0));
}

}  // namespace toy_map
