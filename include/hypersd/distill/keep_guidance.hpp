// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/distill/consistency.hpp>
#include <hypersd/nn/module.hpp>
#include <utility>
#include <vector>

namespace hypersd::distill {

/// Both branches of a batch's condition with a scale (g form) for each sample: the condition of a `Guided` network.
template <class C>
struct ScaledCondition {
  diffusion::GuidedCondition<C> branches;
  std::vector<double> scales;
};

/// A network as the sampler of classifier-free guidance sees it: e_u + g (e_c - e_u), differentiably where the network
/// is. The unconditional branch is not asked where no sample is guided.
template <class Net>
struct Guided : nn::Wraps<Net> {
  const Net& net;
  explicit Guided(const Net& n) : net(n) {}
  [[nodiscard]] const auto& process_value() const requires nn::HoldsProcess<Net> { return net.process_value(); }

  template <class T, class D, class C>
  requires diffusion::Denoiser<Net, T, D, C> Var<T, D>
  operator()(const Var<T, D>& x, const Numbers<T, D>& t, const ScaledCondition<C>& condition) const {
    std::vector<double> with, without;
    bool both = false;
    for (const double g : condition.scales) {
      const auto w = diffusion::guidance_weights(g);
      with.push_back(w.conditional), without.push_back(w.unconditional);
      both = both || w.unconditional != 0;
    }
    const Var<T, D> conditional = net(x, t, condition.branches.conditional);
    if (!both) return conditional;
    return autograd::combine_samples(diffusion::sample_scales<T, D>(with), conditional,
                                     diffusion::sample_scales<T, D>(without), net(x, t, condition.branches.null));
  }
  template <class T, class D, class C>
  requires(diffusion::TensorDenoiser<Net, T, D, C> && !diffusion::Denoiser<Net, T, D, C>) Tensor<T, D>
  operator()(const Tensor<T, D>& x, const Numbers<T, D>& t, const ScaledCondition<C>& condition) const {
    return diffusion::predict_guided(net, x, t, condition.branches, condition.scales);
  }
};

/// A consistency objective (`Cd`, `Ctm`, `Tscd`) whose student is guided as its teacher is, with the same scale and the
/// same negative condition, instead of taking guidance into its weights. Distilled so, the student is sampled with
/// `diffusion::ClassifierFree` and answers to scale and negative condition at few steps, for two evaluations a step.
/// (Not in the paper, which names the loss of guidance among its limitations.)
///
/// The batch's `condition.null` is the negative condition: null for some samples, another caption for others. The
/// range of scales is the objective's own, `guidance_min` to `guidance_max`.
template <class Objective>
struct KeepGuidance : FromSamples<KeepGuidance<Objective>> {
  static constexpr bool keeps_guidance = true;
  Objective objective;

  /// With the objective's arguments.
  template <class... Args>
  requires std::constructible_from<Objective, Args...>
  explicit KeepGuidance(Args&&... args) : objective(std::forward<Args>(args)...) {}

  /// The objective's samples of guided networks, with the batch that these take.
  template <class T, class D, class C>
  struct Samples {
    Batch<T, D, ScaledCondition<C>> batch;
    typename Objective::template Samples<T, D> inner;
  };
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D, C> samples(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, Randomness random) const {
    return samples_at(student, teacher, target, batch,
                      draw(objective.rule, objective.process, objective.options, batch.x0.dim(0), random),
                      draw_noise<T, D>(objective.options, batch.x0.shape(), random));
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  Samples<T, D, C> samples_at(const Student& student, const Teacher& teacher, const Target& target,
                              const Batch<T, D, C>& batch, const Draws& draws, const Tensor<T, D>& noise) const {
    const auto both = scaled(batch, draws);
    return {both, objective.samples_at(Guided<Student>(student), Guided<Teacher>(teacher), Guided<Target>(target), both,
                                       unguided(draws), noise)};
  }

  template <class T, class D, class C, class Student, class Teacher, class Target>
  LossResult<T, D> loss_from(const Samples<T, D, C>& samples, const Student& student, const Teacher& teacher,
                             const Target& target, const Batch<T, D, C>&, Randomness random) const {
    return objective.loss_from(samples.inner, student, teacher, target, samples.batch, random);
  }
  /// The loss for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& draws, const Tensor<T, D>& noise) const {
    return loss_from(samples_at(student, teacher, target, batch, draws, noise), student, teacher, target, batch, {});
  }

  /// Trains what the objective trains, a critic say.
  template <class T, class D, class Student, class Teacher, class Target, class C, class Average>
  requires requires(const Objective& o, const Samples<T, D, C>& s, const Student& student, const Teacher& teacher,
                    const Target& target, const Average& a) {
    o.learn_from(s.inner, student, teacher, target, s.batch, Randomness{}, a);
  }
  void learn_from(const Samples<T, D, C>& samples, const Student& student, const Teacher& teacher, const Target& target,
                  const Batch<T, D, C>&, Randomness random, const Average& average) const {
    objective.learn_from(samples.inner, student, teacher, target, samples.batch, random, average);
  }
  [[nodiscard]] bool learns() const { return objective.learns(); }
  template <class F>
  requires requires(F& f) { std::declval<const Objective&>().visit_state(f, std::string()); }
  void visit_state(F&& f, const std::string& prefix) const { objective.visit_state(f, prefix); }

 private:
  /// Guidance happens inside the networks; the objective shall add none.
  static Draws unguided(Draws draws) {
    draws.guidance.assign(draws.guidance.size(), 1.0);
    return draws;
  }
  template <class T, class D, class C>
  static Batch<T, D, ScaledCondition<C>> scaled(const Batch<T, D, C>& batch, const Draws& draws) {
    const ScaledCondition<C> both{batch.condition, draws.guidance};
    return {batch.x0, {both, both}, batch.noise};
  }
};

}  // namespace hypersd::distill
