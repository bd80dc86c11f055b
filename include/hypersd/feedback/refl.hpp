// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/feedback/decoder.hpp>
#include <hypersd/feedback/hinge.hpp>
#include <hypersd/feedback/rollout.hpp>

namespace hypersd::feedback {

/// Reward feedback learning (Xu et al. 2023, "ImageReward"): the student samples from pure noise, without guidance and
/// without a tape, up to a drawn position of its list of times; one evaluation there, with gradient, gives clean data
/// x0, which are decoded and scored,
///
///   loss = sum_d weight_d mean ReLU(alpha_d - r_d(decode(x0(x_t, student)), condition)).   [Hyper-SD Eq. 10 and 13]
///
/// Gradients pass the reward, the decoder and that one evaluation. The networks behind `decoder` and `hinges` have to
/// be frozen (see `frozen`); teacher and target are not used. `Score` is `Hinges`, a `Hinge`, or anything that gives a
/// LossResult for (images, condition). Of the batch, only the shape of x0 and the conditional condition are read.
template <diffusion::DiffusionProcess Process, class Decode, class Score, class S = diffusion::Tcd>
struct Refl {
  using Options = RolloutOptions;
  Rollout<Process, S> rollout;
  Decode decoder;
  Score hinges;

  /// Throws what `Rollout` throws.
  Refl(Process p, Decode decode, Score score, Options o = {}, S = {})
      : rollout(std::move(p), std::move(o)), decoder(std::move(decode)), hinges(std::move(score)) {}

  template <class Student, class Teacher, class Target, class T, class D, class C>
  diffusion::LossResult<T, D> loss(const Student& student, const Teacher&, const Target&,
                                   const diffusion::Batch<T, D, C>& batch, diffusion::Randomness random) const {
    const RolloutDraws d = rollout.draw(random);
    const Shape& shape = batch.x0.shape();
    return loss_at(student, batch, d, rollout.template start<T, D>(shape, random),
                   rollout.template noise<T, D>(shape, d, random));
  }

  /// The same for given draws, starting noise z [B, ...] and the noise of each solver step (empty for eta = 0).
  template <class Student, class T, class D, class C>
  diffusion::LossResult<T, D> loss_at(const Student& student, const diffusion::Batch<T, D, C>& batch,
                                      const RolloutDraws& d, const Tensor<T, D>& z,
                                      const std::vector<Tensor<T, D>>& noise = {}) const {
    static_assert(Decoder<Decode, T, D>, "Refl needs a Decoder: decoder(latents) const gives a Var of pictures");
    const C& condition = batch.condition.conditional;
    const Var<T, D> x(rollout.walk(student, d, z, noise, condition));
    const diffusion::Times t = rollout.times_of(x.value(), d);
    const auto f = diffusion::evaluate(rollout.process(), student, x, t, condition);
    const auto x0 = diffusion::x0_of(rollout.process(), x, f, t);
    diffusion::LossResult<T, D> out = hinges(decoder(x0), condition);
    out.diagnostics.emplace_back("refl.time", t.front());
    return out;
  }
};

}  // namespace hypersd::feedback
