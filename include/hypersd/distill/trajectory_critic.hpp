// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/distill/auxiliary_network.hpp>
#include <hypersd/distill/distances/adversarial.hpp>
#include <utility>

namespace hypersd::distill {

/// Where a jump began: x [B, ...] at the times t [B].
template <class T, class D>
struct Origin {
  Tensor<T, D> x;
  Numbers<T, D> t;
};

/// The critic of progressive adversarial distillation: trainable heads on a frozen network's features of where a jump
/// ends and of where it began, joined on the channels. It thus sees whether the end belongs to the beginning. With
/// `relaxed` it sees the end alone (the beginning's features are zeros), so the student may leave the trajectory.
template <class Network, nn::Module Heads>
class TrajectoryCritic {
  using T = typename Heads::value_type;
  using D = typename Heads::device_type;

 public:
  /// `heads` takes maps of twice the network's feature channels. The weights of `network`, a handle, must not require a
  /// gradient.
  TrajectoryCritic(Network network, Heads heads, bool relaxed = false, double learning_rate = 1e-3)
      : network_(std::move(network)),
        heads_(std::move(heads), {.beta1 = 0.5, .weight_decay = 0}, learning_rate),
        relaxed_(relaxed) {}

  /// Logits of x at the times t, reached from `origin`: positive for "the teacher's".
  template <class Condition>
  Var<T, D> operator()(const Var<T, D>& x, const Numbers<T, D>& t, const Origin<T, D>& origin,
                       const Condition& condition) const {
    auto maps = network_.features(x, t, condition);
    const auto begun =
        relaxed_ ? std::vector<Var<T, D>>{} : network_.features(Var<T, D>(origin.x), origin.t, condition);
    for (std::size_t i = 0; i < maps.size(); ++i)
      maps[i] = autograd::concat_channels(
          std::vector<Var<T, D>>{maps[i], relaxed_ ? Var<T, D>(Tensor<T, D>::zeros(maps[i].shape())) : begun[i]});
    return heads_.network()(maps);
  }
  /// One update of the heads.
  template <class Condition, class Average = OwnGradients>
  void learn(const Tensor<T, D>& fake, const Tensor<T, D>& real, const Numbers<T, D>& t, const Origin<T, D>& origin,
             const Condition& condition, const Average& average = {}) {
    heads_.update(
        [&] {
          return non_saturating_critic_loss((*this)(Var<T, D>(real), t, origin, condition),
                                            (*this)(Var<T, D>(fake), t, origin, condition));
        },
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
  bool relaxed_;
};

}  // namespace hypersd::distill
