// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/feedback/rollout.hpp>

namespace hypersd::feedback {

/// Keeps a student near a frozen reference while rewards pull at it: the mean squared difference of the clean data that
/// both predict, at the points at which `Refl` with the same options and seed trains,
///
///   loss = mean (x0(x_t, student) - x0(x_t, reference))^2, x_t from the student's own sampler, without gradient.
///
/// The reference is the target network, in a recipe the student as it was before feedback; it is not guided.
template <diffusion::DiffusionProcess Process = diffusion::Discrete<>, class S = diffusion::Tcd>
struct StayClose {
  using Options = RolloutOptions;
  Rollout<Process, S> rollout;

  /// Throws what `Rollout` throws.
  explicit StayClose(Process p, Options o = {}, S = {}) : rollout(std::move(p), std::move(o)) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  diffusion::LossResult<T, D> loss(const Student& student, const Teacher&, const Target& reference,
                                   const diffusion::Batch<T, D, C>& batch, diffusion::Randomness random) const {
    const RolloutDraws d = rollout.draw(random);
    const Shape& shape = batch.x0.shape();
    return loss_at(student, reference, batch, d, rollout.template start<T, D>(shape, random),
                   rollout.template noise<T, D>(shape, d, random));
  }

  /// The same for given draws, starting noise z [B, ...] and the noise of each solver step (empty for eta = 0).
  template <class Student, class Teacher, class T, class D, class C>
  diffusion::LossResult<T, D> loss_at(const Student& student, const Teacher& reference,
                                      const diffusion::Batch<T, D, C>& batch, const RolloutDraws& d,
                                      const Tensor<T, D>& z, const std::vector<Tensor<T, D>>& noise = {}) const {
    const C& condition = batch.condition.conditional;
    const Var<T, D> x(rollout.walk(student, d, z, noise, condition));
    const diffusion::Times t = rollout.times_of(x.value(), d);
    const auto gap = autograd::sub(diffusion::evaluate(rollout.process(), student, x, t, condition),
                                   diffusion::predict(rollout.process(), reference, x.value(), t, condition));
    // x_t is the same in both: the difference is taken before it is brought to x0, where x_t would cancel.
    const auto scale = static_cast<Accumulator<T>>(rollout.process().x0(t.front()).prediction);
    return {autograd::map_mean(ops::Square{}, autograd::affine(gap, scale)), {}};
  }
};

}  // namespace hypersd::feedback
