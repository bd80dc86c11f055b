// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "feedback.hpp"
#include "one_step.hpp"

namespace fashion {

/// The parts of the method after the teacher, as one type.
template <Device D>
State<D> run_recipe(const Run& run, const Dataset& data, const nn::Autoencoder<float, D>& autoencoder,
                    const Latents<D>& latents, const Teacher<D>& teacher, const Rewards<D>& rewards) {
  const Options& o = run.options;
  const RealBatches<D> real(run, data, latents, teacher.text);
  Critic<D> critic = make_critic(run, teacher);
  Fake<D> unified = make_fake(run, teacher), dedicated = make_fake(run, teacher), whole = make_fake(run, teacher);
  const Pairs<D> pairs = teacher_pairs(run, data, teacher);
  const PairBatches<D> ends(run, pairs, teacher.text);
  const pipeline::Recipe recipe(
      tscd_part(run, real, critic, "tscd", o.stage_segments, o.stage_steps),
      feedback_part(run, real, autoencoder, latents, rewards), unified_part(run, ends, unified),
      dmd_part(run, ends, dedicated, "one-step-" + std::to_string(o.one_step_time), pipeline::SameAdapter{},
               static_cast<diffusion::Time>(o.one_step_time), o.one_step_lr),
      // All weights move too far at the adapter's learning rate.
      dmd_part(run, ends, whole, whole_unet, pipeline::AllWeights{}, 999, o.one_step_lr / 3));
  return recipe.run(run.session(), teacher.unet, {o.skip.begin(), o.skip.end()});
}

}  // namespace fashion
