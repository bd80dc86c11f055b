// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "distil.hpp"
#include "rewards.hpp"

#include <hypersd/distill/sum.hpp>
#include <hypersd/feedback/refl.hpp>
#include <hypersd/feedback/stay_close.hpp>

namespace fashion {

/// Latents to pictures, differentiably.
template <Device D>
struct Decode {
  nn::Autoencoder<float, D> autoencoder;
  float scale = 1, shift = 0;
  Var<float, D> operator()(const Var<float, D>& z) const {
    return autoencoder.decode(autograd::affine(z, scale, shift));
  }
};

/// Hinges on both rewards at the student's own samples, the instances of real pictures, held near the student before.
/// [Hyper-SD Eq. 10, 13-15]
template <Device D>
auto feedback_part(const Run& run, const RealBatches<D>& batches, const nn::Autoencoder<float, D>& autoencoder,
                   const Latents<D>& latents, const Rewards<D>& rewards) {
  using distill::weighted;
  const Options& o = run.options;
  const Decode<D> decode{feedback::frozen(autoencoder), static_cast<float>(latents.scale),
                         static_cast<float>(latents.shift)};
  const feedback::RolloutOptions rollout{};
  const feedback::Hinges hinges(
      feedback::Hinge<RewardModel<D>>{rewards.preference, rewards.preference_alpha, 1, "preference"},
      feedback::Hinge<Aesthetic<D>>{rewards.aesthetic, rewards.aesthetic_alpha, 1, "aesthetic"});
  const feedback::InstanceFeedback instance(
      Process{}, decode, rewards.segmenter,
      {.noisy_min = time_of(249), .noisy_max = time_of(749), .denoised = time_of(24)});
  const feedback::Refl refl(Process{}, decode, hinges, rollout);
  const auto objective = distill::sum_of(  // [Hyper-SD Eq. 15]
      weighted(1, refl), weighted(o.instance_weight, instance, "instance"),
      weighted(o.stay_close_weight, feedback::StayClose<Process>({}, rollout), "stay"));
  // An adapter of its own on the frozen student. [Hyper-SD Sec. 3.2]
  return pipeline::part(pipeline::Phase{"feedback",
                                        objective,
                                        batches,
                                        pipeline::NewAdapter{{.rank = o.rank, .name = "feedback"}},
                                        {.steps = o.feedback_steps, .learning_rate = o.feedback_lr}});
}

}  // namespace fashion
