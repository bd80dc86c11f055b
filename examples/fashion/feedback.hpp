// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "distil.hpp"
#include "rewards.hpp"

#include <hypersd/distill/sum.hpp>
#include <hypersd/feedback/refl.hpp>
#include <hypersd/feedback/stay_close.hpp>

namespace fashion {

/// Latents to pictures, differentiably.
struct Decode {
  nn::Autoencoder<float> autoencoder;
  float scale = 1, shift = 0;
  Var<float> operator()(const Var<float>& z) const { return autoencoder.decode(autograd::affine(z, scale, shift)); }
};

/// Hinges on both rewards at the student's own samples, the instances of real pictures, held near the student before.
/// [Hyper-SD Eq. 10, 13-15]
inline auto feedback_part(const Run& run, const RealBatches& batches, const nn::Autoencoder<float>& autoencoder,
                          const Latents& latents, const Rewards& rewards) {
  using distill::weighted;
  const Options& o = run.options;
  const Decode decode{feedback::frozen(autoencoder), static_cast<float>(latents.scale),
                      static_cast<float>(latents.shift)};
  const feedback::RolloutOptions rollout{};
  const feedback::Hinges hinges(
      feedback::Hinge<RewardModel>{rewards.preference, rewards.preference_alpha, 1, "preference"},
      feedback::Hinge<Aesthetic>{rewards.aesthetic, rewards.aesthetic_alpha, 1, "aesthetic"});
  const feedback::InstanceFeedback instance(noise_table(), decode, rewards.segmenter);
  const feedback::Refl refl(noise_table(), diffusion::Epsilon{}, decode, hinges, rollout);
  const auto objective = distill::sum_of(  // [Hyper-SD Eq. 15]
      weighted(1, refl), weighted(o.instance_weight, instance, "instance"),
      weighted(o.stay_close_weight, feedback::StayClose<>(noise_table(), {}, rollout), "stay"));
  pipeline::Feedback<std::remove_const_t<decltype(objective)>, RealBatches> part{"feedback", objective, batches};
  part.options = {.steps = o.feedback_steps, .learning_rate = o.feedback_lr};
  part.how.lora = {.rank = o.rank, .name = "feedback"};
  return part;
}

}  // namespace fashion
