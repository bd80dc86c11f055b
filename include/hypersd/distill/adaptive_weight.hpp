// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/distill/auxiliary_network.hpp>
#include <hypersd/distill/jump_drift.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/timestep_embedding.hpp>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::distill {

namespace detail {

/// e^-u l + u.
struct WeightedResidual {
  template <class T>
  HYPERSD_HD T operator()(T u, T l) const {
    return math::exp(-u) * l + u;
  }
  template <int I, class T>
  HYPERSD_HD T d(T u, T l) const {
    return I == 0 ? T(1) - math::exp(-u) * l : math::exp(-u);
  }
};

}  // namespace detail

/// The learned log variance u(t) of residuals (Karras et al., EDM2; Lu and Song, sCM): it minimizes
///
///   mean over samples of e^-u(t) l + u(t),   l = mean of the squared residual of a sample at time t,
///
/// whose minimum is u = ln E[l | t], so that every time counts the same in the student's loss. u is linear in 128
/// sinusoids of the noise angle atan(sigma / alpha), and begins at 0. It lives on the host whatever the student's
/// device. Not copied: see `AuxiliaryNetwork`.
class AdaptiveWeight {
 public:
  explicit AdaptiveWeight(double learning_rate = 1e-3) : head_(fresh(), {.weight_decay = 0}, learning_rate) {}

  /// The layer of u, 128 -> 1.
  [[nodiscard]] const nn::Linear<double>& head() const { return head_.network(); }
  /// u at times t, [B, 1].
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] Var<double> log_variance(const Process& process, const diffusion::Times& t) const {
    Tensor<double> angle(Shape{static_cast<std::int64_t>(t.size())});
    for (std::size_t b = 0; b < t.size(); ++b) {
      const diffusion::Level l = process.level(t[b]);
      angle[static_cast<std::int64_t>(b)] = range * std::atan2(l.sigma, l.alpha);
    }
    return head()(Var<double>(features_(angle)));
  }
  /// mean of e^-u l + u for residuals `l` at times t, shape [1].
  template <diffusion::DiffusionProcess Process>
  [[nodiscard]] Var<double> loss(const Process& process, const diffusion::Times& t,
                                 const std::vector<double>& l) const {
    const auto residual = Tensor<double>::from(Shape{static_cast<std::int64_t>(l.size()), 1}, l);
    return autograd::map_mean(detail::WeightedResidual{}, log_variance(process, t), residual);
  }
  /// One update by the gradient of that loss.
  template <diffusion::DiffusionProcess Process, class Average = OwnGradients>
  void learn(const Process& process, const diffusion::Times& t, const std::vector<double>& l,
             const Average& average = {}) {
    head_.update([&] { return loss(process, t, l); }, average);
  }
  /// Weights and moments, for checkpoints.
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    head_.visit_state(f, prefix);
  }

 private:
  static constexpr double range = 64;  ///< of the angle's unit: the fastest sinusoid makes 16 turns up to pure noise
  static nn::Linear<double> fresh() {
    nn::Linear<double> out;
    out.weight = {Shape{1, 128}, nn::Initializer::zeros()};
    out.bias = {Shape{1}, nn::Initializer::zeros()};
    nn::init_parameters(out, 0, "log_variance");
    return out;
  }

  AuxiliaryNetwork<nn::Linear<double>> head_;
  nn::SinusoidalFeatures<double> features_{128};
};

/// An objective of one residual a sample with the learned weight of `AdaptiveWeight`: the loss
///
///   mean over samples of e^-u(t) l + u(t),   l = mean (f - stopgrad(f + g))^2 of the sample,
///
/// whose gradient in the student is that of the objective at e^-u(t). `Objective` has `residual(student, teacher,
/// target, batch, random)`, as `ContinuousConsistency` does, and a process. u learns from the same residuals.
template <class Objective>
struct AdaptivelyWeighted : FromSamples<AdaptivelyWeighted<Objective>> {
  Objective objective;
  AdaptiveWeight* weight;

  /// Throws OptionError without a weight.
  AdaptivelyWeighted(Objective o, AdaptiveWeight* w) : objective(std::move(o)), weight(w) {
    require<OptionError>(w != nullptr, "adaptively weighted: no AdaptiveWeight given");
  }

  template <class Student, class Teacher, class Target, class AnyBatch>
  auto samples(const Student& student, const Teacher& teacher, const Target& target, const AnyBatch& batch,
               Randomness random) const {
    return objective.residual(student, teacher, target, batch, random);
  }
  template <class T, class D, class Student, class Teacher, class Target, class AnyBatch>
  LossResult<T, D> loss_from(const Residual<T, D>& made, const Student&, const Teacher&, const Target&, const AnyBatch&,
                             Randomness) const {
    const auto u = weight->log_variance(objective.process, made.t).value().to_vector();
    std::vector<double> weights;
    double mean = 0;
    for (const double one : u) {
      weights.push_back(std::exp(-one));
      mean += one / static_cast<double>(u.size());
    }
    const auto loss = tangent_loss(made.drift.prediction, made.drift.tangent, weights);
    auto diagnostics = made.diagnostics;
    diagnostics.emplace_back("log variance", mean);
    return {autograd::affine(loss, 1, static_cast<Accumulator<T>>(mean)), std::move(diagnostics)};
  }
  template <class T, class D, class Student, class Teacher, class Target, class AnyBatch, class Average>
  void learn_from(const Residual<T, D>& made, const Student&, const Teacher&, const Target&, const AnyBatch&,
                  Randomness random, const Average& average) const {
    const Tensor<T, D>& tangent = made.drift.tangent;
    auto l = tangent_squares(tangent, made.t, made.end, random);
    for (double& one : l) one *= static_cast<double>(tangent.dim(0)) / static_cast<double>(tangent.size());
    weight->learn(objective.process, made.t, l, average);
  }
  template <class F>
  void visit_state(F&& f, const std::string& prefix) const {
    weight->visit_state(f, prefix + "adaptive_weight.");
  }
};

}  // namespace hypersd::distill
