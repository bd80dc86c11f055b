// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/auxiliary_network.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/plan.hpp>
#include <utility>

namespace hypersd::distill {

/// The network of distribution matching that knows the student's distribution: a diffusion model trained on the
/// student's samples, with an optimiser of its own. It starts from the teacher's weights.
template <nn::Module Network, diffusion::DiffusionProcess Process = diffusion::Discrete<>>
class FakeScore {
  using T = typename Network::value_type;
  using D = typename Network::device_type;

 public:
  using process = Process;
  /// `network` must not share weights with teacher or student (`nn::deep_copy`).
  FakeScore(Network network, Process p, double learning_rate = 1e-3)
      : score_(std::move(network), {.weight_decay = 0}, learning_rate, 1.0), process_(std::move(p)) {}

  [[nodiscard]] const Process& process_value() const { return process_; }
  /// Prediction at x [B, ...] and times t [B]. No gradient reaches the weights.
  template <class Condition>
  Var<T, D> operator()(const Var<T, D>& x, const Numbers<T, D>& t, const Condition& condition) const {
    return score_.network()(x, t, condition);
  }
  /// Times, noise and numbers of one step of training on samples of `shape` [B, ...].
  SamplePlan<T, D> plan(const Shape& shape, Randomness random) const {
    const auto t = diffusion::uniform_times(process_, shape[0], random.stream("fake.t"), random.first_sample);
    return sample_plan(diffusion::normals<T, D>(shape, random, "fake.noise"), [&](std::size_t b) {
      const diffusion::Level l = process_.level(t[b]);
      const diffusion::Target target = process_.target(t[b]);
      return std::array{l.alpha,   l.sigma,   process_.network_time(t[b]), process_.input_scale(t[b]),
                        target.x0, target.eps};
    });
  }
  /// One step of diffusion training on samples x0 [B, ...]: uniform times, fresh noise, no guidance.
  template <class Condition, class Average = OwnGradients>
  void learn_by(const SamplePlan<T, D>& plan, const Tensor<T, D>& x0, const Condition& condition,
                const Average& average = {}) {
    const Var<T, D> x(diffusion::combine(plan.form(0), x0, plan.noise));
    score_.update(
        [&] {
          return autograd::mse(
              diffusion::evaluate(process_, score_.network(), x, plan.template times<Process>(2), condition),
              diffusion::combine(plan.form(4), x0, plan.noise));
        },
        average);
  }
  /// The same with draws from `random`.
  template <class Condition, class Average = OwnGradients>
  void learn(const Tensor<T, D>& x0, const Condition& condition, Randomness random, const Average& average = {}) {
    learn_by(plan(x0.shape(), random), x0, condition, average);
  }
  /// Weights and moments, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    score_.visit_state(f, prefix);
  }

 private:
  AuxiliaryNetwork<Network> score_;
  Process process_;
};

}  // namespace hypersd::distill
