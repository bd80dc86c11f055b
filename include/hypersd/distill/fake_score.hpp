// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/nn/module.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <utility>

namespace hypersd::distill {

/// The network of distribution matching that knows the student's distribution: a diffusion model trained on the
/// student's samples, with an optimiser of its own. It starts from the teacher's weights.
template <nn::Module Network, diffusion::Prediction P = diffusion::Epsilon>
class FakeScore {
  using T = typename Network::value_type;
  using D = typename Network::device_type;

 public:
  using prediction = P;
  /// `network` must not share weights with teacher or student (`nn::deep_copy`).
  FakeScore(Network network, diffusion::NoiseTable table, double learning_rate = 1e-3)
      : network_(std::move(network)), table_(std::move(table)), learning_rate_(learning_rate) {
    nn::set_requires_grad(network_, true);
    parameters_ = optim::parameters_of(network_, "", false);
    optimizer_.emplace(parameters_, optim::AdamWOptions{.weight_decay = 0});
    nn::set_requires_grad(network_, false);
  }
  FakeScore(const FakeScore&) = delete;
  FakeScore& operator=(const FakeScore&) = delete;

  /// Prediction at x [B, ...] and times t [B]. No gradient reaches the weights.
  template <class Condition>
  Var<T, D> operator()(const Var<T, D>& x, const Tensor<T, D>& t, const Condition& condition) const {
    return network_(x, t, condition);
  }
  /// One step of diffusion training on samples x0 [B, ...]: uniform times, fresh noise, no guidance.
  template <class Condition>
  void learn(const Tensor<T, D>& x0, const Condition& condition, Randomness random) {
    const autograd::EnableGrad guard;
    const auto t = diffusion::uniform_times(table_, x0.dim(0), stream_of(random, "fake.t"), random.first_sample);
    const auto noise = diffusion::normals<T, D>(x0.shape(), random, "fake.noise");
    nn::set_requires_grad(network_, true);
    optimizer_->zero_grad();
    const Var<T, D> x(diffusion::add_noise(table_, x0, noise, t));
    autograd::backward(autograd::mse(network_(x, diffusion::time_tensor<T, D>(t), condition),
                                     diffusion::training_target(table_, P{}, x0, noise, t)));
    optimizer_->step(learning_rate_, optim::clip_factor(optim::grad_norm(parameters_), 1.0));
    optimizer_->zero_grad();
    nn::set_requires_grad(network_, false);
  }
  /// Weights and moments, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    for (const auto& p : parameters_) f(prefix + p.name, p.var.value());
    optimizer_->visit_state(f, prefix + "adamw.");
  }

 private:
  Network network_;
  diffusion::NoiseTable table_;
  optim::ParameterList<T, D> parameters_;
  std::optional<optim::AdamW<T, D>> optimizer_;
  double learning_rate_;
};

}  // namespace hypersd::distill
