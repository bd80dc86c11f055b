// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_matmul.hpp>
#include <hypersd/distill/auxiliary_network.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/ops/random.hpp>
#include <hypersd/pipeline/train_loop.hpp>

#include <string>
#include <vector>

/// \file
/// Training of a small generator against a critic that learns in the same steps, as a function of the device.

namespace critic_runs {

using namespace hypersd;

template <class D>
struct Layer {
  using value_type = float;
  using device_type = D;
  Var<float, D> w, b;

  Layer(std::int64_t out, std::int64_t in, const char* name)
      : w(ops::normal<float>(Shape{out, in}, stream(4, name)).template to<D>(), true),
        b(Tensor<float, D>::zeros(Shape{out}), true) {}
  Var<float, D> operator()(const Tensor<float, D>& x) const { return (*this)(Var<float, D>(x)); }
  Var<float, D> operator()(const Var<float, D>& x) const { return autograd::linear(x, w, b); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    f(prefix + "w", w);
    f(prefix + "b", b);
  }
};

/// The critic learns, then the generator has its loss. With `graph`, a GPU captures both.
template <class D, bool graph>
struct Adversaries {
  static constexpr bool capturable = graph;
  const Layer<D>& generator;
  distill::AuxiliaryNetwork<Layer<D>>& critic;
  Tensor<float, D> noise{Shape{16, 3}}, real{Shape{16, 2}};

  void prepare(std::int64_t step) const {
    const auto draw = [&](const Tensor<float, D>& to, const char* name) {
      to.copy_from(ops::normal<float>(to.shape(), stream(5, name, static_cast<std::uint64_t>(step))).template to<D>());
    };
    draw(noise, "noise");
    draw(real, "real");
  }
  template <class Average>
  void learn(const Average& average) const {
    const auto fake = generator(noise).value();
    const auto& judge = critic.network();
    critic.update([&] { return distill::non_saturating_critic_loss(judge(real), judge(fake)); }, average);
  }
  Var<float, D> loss() const { return distill::non_saturating(critic.network()(generator(noise))); }
};

struct Outcome {
  std::vector<double> generator, critic;  ///< the critic with moments and step counts
  std::vector<std::string> names;         ///< of the critic's state
  pipeline::TrainReport report;
};

/// `steps` steps, a line of the loss curve every 4; the critic's gradients are clipped.
template <class D, bool graph>
Outcome train(std::int64_t steps = 11) {
  Layer<D> generator(2, 3, "generator");
  distill::AuxiliaryNetwork<Layer<D>> critic(Layer<D>(1, 2, "critic"), {.beta1 = 0.5}, 1e-2, 0.2);
  pipeline::TrainOptions options{.phase = "adversaries", .steps = steps, .learning_rate = optim::Constant{1e-2}};
  options.log_every = 4;
  Outcome out;
  out.report = pipeline::train(options, optim::parameters_of(generator), Adversaries<D, graph>{generator, critic});
  const auto add = [](std::vector<double>& to, const auto& tensor) {
    for (const auto v : tensor.to_vector()) to.push_back(static_cast<double>(v));
  };
  for (const auto& p : optim::parameters_of(generator)) add(out.generator, p.var.value());
  critic.visit_state(
      [&](const std::string& name, const auto& tensor) {
        out.names.push_back(name);
        add(out.critic, tensor);
      },
      "");
  return out;
}

}  // namespace critic_runs
