// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/nn/module.hpp>
#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/counted_steps.hpp>
#include <optional>
#include <string>
#include <utility>

namespace hypersd::distill {

namespace detail {

struct NoSteps {};
/// What updates an auxiliary network on a device that runs kernels.
template <class T, class D>
struct StepsOf {
  using type = NoSteps;
};
template <class T, ops::launch::KernelDevice D>
struct StepsOf<T, D> {
  using type = optim::CountedSteps<T, D>;
};

}  // namespace detail

/// A network with an optimiser of its own that an objective trains beside the student: the heads of a critic, a fake
/// score. Its weights require a gradient only during its own update, so that the student's backward pass does not reach
/// them. Not copied: the moments belong to one set of weights. On a GPU an update only enqueues work, and is capturable
/// in a CUDA graph.
template <nn::Module Network>
class AuxiliaryNetwork {
  using T = typename Network::value_type;
  using D = typename Network::device_type;

 public:
  /// Gradients longer than `max_norm` > 0 are clipped; on a CPU they must then be finite. 0 clips none.
  AuxiliaryNetwork(Network network, const optim::AdamWOptions& options, double learning_rate, double max_norm = 0)
      : network_(trainable(std::move(network))),
        parameters_(optim::parameters_of(network_, "", false)),
        optimizer_(parameters_, options),
        learning_rate_(learning_rate),
        max_norm_(max_norm) {
    if constexpr (enqueues) steps_.emplace(optimizer_, learning_rate, max_norm);
    nn::set_requires_grad(network_, false);
  }
  AuxiliaryNetwork(const AuxiliaryNetwork&) = delete;
  AuxiliaryNetwork& operator=(const AuxiliaryNetwork&) = delete;

  [[nodiscard]] const Network& network() const { return network_; }

  /// One update by the gradient of `loss()`, a one-element variable. `average(parameters)` is called with the gradients
  /// in place, and may replace them by their means over several processes.
  template <std::invocable Loss, class Average = diffusion::OwnGradients>
  void update(Loss&& loss, const Average& average = {}) {
    const autograd::EnableGrad guard;
    const Trained trained(*this);
    autograd::backward(loss());
    average(parameters_);
    if constexpr (enqueues) {
      steps_->enqueue();
    } else {
      const double scale = max_norm_ > 0 ? optim::clip_factor(optim::grad_norm(parameters_), max_norm_) : 1.0;
      optimizer_.step(learning_rate_, scale);
    }
  }
  /// Weights and moments, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    for (const auto& p : parameters_) f(prefix + p.name, p.var.value());
    if constexpr (enqueues)
      steps_->visit_state(f, prefix + "adamw.");
    else
      optimizer_.visit_state(f, prefix + "adamw.");
  }

 private:
  static constexpr bool enqueues = ops::launch::KernelDevice<D>;
  /// Weights held in 16 bits are widened.
  static Network trainable(Network network) {
    nn::set_requires_grad(network, true);
    return network;
  }

  /// The weights require a gradient while it lives, however the update ends.
  struct Trained {
    AuxiliaryNetwork& of;
    explicit Trained(AuxiliaryNetwork& network) : of(network) {
      nn::set_requires_grad(of.network_, true);
      of.optimizer_.zero_grad();
    }
    ~Trained() {
      of.optimizer_.zero_grad();
      nn::set_requires_grad(of.network_, false);
    }
    Trained(const Trained&) = delete;
    Trained& operator=(const Trained&) = delete;
  };

  Network network_;
  optim::ParameterList<T, D> parameters_;
  optim::AdamW<T, D> optimizer_;
  double learning_rate_, max_norm_;
  std::optional<typename detail::StepsOf<T, D>::type> steps_{};
};

}  // namespace hypersd::distill
