// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/distill/consistency.hpp>
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
struct Guided {
  const Net& net;

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
struct KeepGuidance {
  static constexpr bool keeps_guidance = true;
  Objective objective;

  /// With the objective's arguments.
  template <class... Args>
  requires std::constructible_from<Objective, Args...>
  explicit KeepGuidance(Args&&... args) : objective(std::forward<Args>(args)...) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss(const Student& student, const Teacher& teacher, const Target& target,
                        const Batch<T, D, C>& batch, Randomness random) const {
    return loss_at(student, teacher, target, batch,
                   draw(objective.rule, objective.process, objective.options, batch.x0.dim(0), random),
                   draw_noise<T, D>(objective.options, batch.x0.shape(), random));
  }
  /// The same for given draws and noise [B, ...].
  template <class Student, class Teacher, class Target, class T, class D, class C>
  LossResult<T, D> loss_at(const Student& student, const Teacher& teacher, const Target& target,
                           const Batch<T, D, C>& batch, const Draws& draws, const Tensor<T, D>& noise) const {
    const auto inner = unguided(draws);
    return objective.loss_at(Guided<Student>{student}, Guided<Teacher>{teacher}, Guided<Target>{target},
                             scaled(batch, draws), inner, noise);
  }

  /// Trains what the objective trains, a critic say.
  template <class Student, class Teacher, class Target, class T, class D, class C, class Average = OwnGradients>
  requires LearningObjective<Objective, Guided<Student>, Guided<Teacher>, Guided<Target>,
                             Batch<T, D, ScaledCondition<C>>>
  void learn(const Student& student, const Teacher& teacher, const Target& target, const Batch<T, D, C>& batch,
             Randomness random, const Average& average = {}) const {
    const Draws draws = draw(objective.rule, objective.process, objective.options, batch.x0.dim(0), random);
    objective.learn_at(Guided<Student>{student}, Guided<Teacher>{teacher}, Guided<Target>{target}, scaled(batch, draws),
                       unguided(draws), draw_noise<T, D>(objective.options, batch.x0.shape(), random), average);
  }
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
