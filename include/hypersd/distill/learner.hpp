// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <functional>
#include <hypersd/nn/module.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <string>
#include <utility>

namespace hypersd::distill {

/// A network with an optimiser of its own: the heads of a critic, the score of the student's distribution. Its weights
/// require a gradient only while it learns, so that the student's backward pass does not reach them. Not copied: the
/// moments belong to one set of weights.
template <nn::Module Network>
class Learner {
  using T = typename Network::value_type;
  using D = typename Network::device_type;

 public:
  /// Gradients longer than `max_norm` are clipped; 0 clips none.
  Learner(Network network, const optim::AdamWOptions& options, double learning_rate, double max_norm = 0)
      : network_(std::move(network)),
        parameters_(optim::parameters_of(network_, "", false)),
        optimizer_(parameters_, options),
        learning_rate_(learning_rate),
        max_norm_(max_norm) {
    nn::set_requires_grad(network_, false);
  }
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  [[nodiscard]] const Network& network() const { return network_; }

  /// What is done with the gradients of each update before it: their mean over several processes, say. `State::add`
  /// sets it to that. Not part of the network's state, so a const learner takes it.
  void average_by(std::function<void(const optim::ParameterList<T, D>&)> average) const {
    average_ = std::move(average);
  }
  /// One update by the gradient of `loss()`, a one-element variable made anew by the network.
  template <std::invocable Loss>
  void learn(Loss&& loss) {
    const autograd::EnableGrad guard;
    nn::set_requires_grad(network_, true);
    optimizer_.zero_grad();
    autograd::backward(loss());
    if (average_) average_(parameters_);
    const double scale = max_norm_ > 0 ? optim::clip_factor(optim::grad_norm(parameters_), max_norm_) : 1.0;
    optimizer_.step(learning_rate_, scale);
    optimizer_.zero_grad();
    nn::set_requires_grad(network_, false);
  }
  /// Weights and moments, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    for (const auto& p : parameters_) f(prefix + p.name, p.var.value());
    optimizer_.visit_state(f, prefix + "adamw.");
  }

 private:
  Network network_;
  optim::ParameterList<T, D> parameters_;
  optim::AdamW<T, D> optimizer_;
  double learning_rate_, max_norm_;
  mutable std::function<void(const optim::ParameterList<T, D>&)> average_;
};

}  // namespace hypersd::distill
