// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "feedback.hpp"
#include "one_step.hpp"
#include "results.hpp"

#include <numeric>

/// \file
/// The main job on any device. Data, files, pictures and measures of numbers are the host's.

namespace fashion {

/// Trains everything on device D and shows what came of it.
template <Device D>
void execute(const Options& o) {
  require_types(o, "examples/run.sh");
  const auto begin = std::chrono::steady_clock::now();
  const Dataset data(o.data.string());
  records::RunDirectory directory(o.out.string(), settings_of(o),
                                  o.resume ? records::Existing::resume : records::Existing::refuse);
  report::TerminalProgress terminal;
  const Run run{o, directory, [&](const ProgressEvent& e) { terminal(e); }};

  Models<D> models;
  models.autoencoder = train_autoencoder<D>(run, data);
  const std::string reconstruction = reconstruction_grid(data, models.autoencoder);
  show_picture(run, "autoencoder.svg", reconstruction, "test images, and what the autoencoder keeps of them");
  models.classifier = train_classifier<D>(run, data);
  models.latents = encode_all(models.autoencoder, data.images.train.first(o.latent_images));
  models.teacher = train_teacher(run, data, models.latents);
  show_picture(run, "teacher.svg", teacher_grid(run, data, models.autoencoder, models.latents, models.teacher),
               "the teacher's samples");
  models.rewards = train_rewards(run, data, models.autoencoder, models.latents, models.teacher);

  // The parts of the method after the teacher, as one type.
  const Teacher<D>& teacher = models.teacher;
  const RealBatches<D> real(run, data, models.latents, teacher.text);
  Critic<D> critic = make_critic(run, teacher);
  Fake<D> unified = make_fake(teacher, o.unified_lr), dedicated = make_fake(teacher, o.one_step_lr),
          whole = make_fake(teacher, o.one_step_lr);
  const Pairs<D> pairs = teacher_pairs(run, data, teacher);
  const PairBatches<D> ends(run, pairs, teacher.text);
  const pipeline::Recipe recipe(
      tscd_part(run, real, critic, "tscd", o.stage_segments, o.stage_steps),
      feedback_part(run, real, models.autoencoder, models.latents, models.rewards), unified_part(run, ends, unified),
      dmd_part(run, ends, dedicated, "one-step-" + std::to_string(o.one_step_time), pipeline::SameAdapter{},
               time_of(o.one_step_time), o.one_step_lr),
      // All weights move too far at the adapter's learning rate.
      dmd_part(run, ends, whole, whole_unet, pipeline::AllWeights{}, last_time(), o.one_step_lr / 3));
  models.made = recipe.run(run.session(), teacher.unet, {o.skip.begin(), o.skip.end()}).made;

  if (o.baseline) {
    models.baselines.push_back(
        {"TCD",
         nn::merge_lora(distil_tcd(run, real, teacher,
                                   std::accumulate(o.stage_steps.begin(), o.stage_steps.end(), std::int64_t{0}))),
         std::nullopt});
    for (const diffusion::Time time : {last_time(), time_of(o.one_step_time)})
      models.baselines.push_back({"DMD of the teacher, t = " + io::number(time),
                                  nn::merge_lora(dmd_from_teacher(run, data, teacher, time)), time});
  }
  show_results(run, data, models, reconstruction, begin);
}

}  // namespace fashion
