// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/distill/auxiliary_network.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <utility>

namespace hypersd::distill {

/// Trainable heads on the encoder features of a frozen network, with an optimiser of their own: the critic of the
/// adversarial distance. `Network` offers `features(x, t, condition)`, `Heads` maps them to logits
/// (`nn::Discriminator`). `Form` is `HingeLoss` or `NonSaturating`.
template <class Network, nn::Module Heads, class Form = HingeLoss>
class FeatureCritic {
  using T = typename Heads::value_type;
  using D = typename Heads::device_type;

 public:
  using form = Form;
  /// The weights of `network`, a handle, must not require a gradient.
  FeatureCritic(Network network, Heads heads, double learning_rate = 1e-3)
      : network_(std::move(network)), heads_(std::move(heads), {.beta1 = 0.5, .weight_decay = 0}, learning_rate) {}

  /// Logits of x [B, ...] at the times t [B]: positive for "real".
  template <class Condition>
  Var<T, D> operator()(const Var<T, D>& x, const Numbers<T, D>& t, const Condition& condition) const {
    return heads_.network()(network_.features(x, t, condition));
  }
  /// One update of the heads by the form's loss.
  template <class Condition, class Average = OwnGradients>
  void learn(const Tensor<T, D>& fake, const Tensor<T, D>& real, const Numbers<T, D>& t, const Condition& condition,
             const Average& average = {}) {
    heads_.update(
        [&] { return Form::critic((*this)(Var<T, D>(real), t, condition), (*this)(Var<T, D>(fake), t, condition)); },
        average);
  }
  /// Heads and moments, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    heads_.visit_state(f, prefix);
  }

 private:
  Network network_;
  AuxiliaryNetwork<Heads> heads_;
};

}  // namespace hypersd::distill
