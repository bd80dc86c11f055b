// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "measure.hpp"
#include "pictures.hpp"
#include "recipe.hpp"
#include "terminal.hpp"

#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/lora_state.hpp>

#include <chrono>
#include <numeric>
#include <optional>

/// \file
/// The main job on any device. Data, files, pictures and measures of numbers are the host's.

namespace fashion {

/// Writes a network, or an adapter, in the ecosystem's layout.
inline void save_state(const std::string& path, const nn::StateDict<float>& state) {
  io::SafetensorsWriter writer;
  writer.metadata["format"] = "pt";
  for (const auto& [name, tensor] : state) writer.add(name, tensor);
  writer.write(path);
}

/// The job on device D.
template <Device D>
void execute(const Options& o) {
  const auto begin = std::chrono::steady_clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  const Dataset data(o.data.string());
  pipeline::RunDirectory directory(o.out.string(), settings_of(o),
                                   o.resume ? pipeline::Existing::resume : pipeline::Existing::refuse);
  report::TerminalProgress terminal;
  const Run run{o, directory, [&](const ProgressEvent& e) { terminal(e); }};

  const auto autoencoder = train_autoencoder<D>(run, data);
  const auto classifier = train_classifier<D>(run, data);
  const Latents<D> latents = encode_all(autoencoder, data.images.train.first(o.latent_images));
  const Teacher<D> teacher = train_teacher(run, data, latents);
  const Rewards<D> rewards = train_rewards(run, data, autoencoder, latents, teacher);
  const State<D> state = run_recipe(run, data, autoencoder, latents, teacher, rewards);
  std::optional<Net<D>> tcd;
  if (o.baseline) {
    const RealBatches<D> real(run, data, latents, teacher.text);
    tcd = distil_tcd(run, real, teacher, std::accumulate(o.stage_steps.begin(), o.stage_steps.end(), std::int64_t{0}));
  }

  io::ensure_writable_folder(directory.file("models"));
  save_state(directory.file("models/autoencoder.safetensors"), nn::state_dict(autoencoder));
  save_state(directory.file("models/classifier.safetensors"), nn::state_dict(classifier));
  save_state(directory.file("models/text_encoder.safetensors"), nn::state_dict(teacher.text));
  save_state(directory.file("models/unet.safetensors"), nn::state_dict(teacher.unet));
  for (const auto& [part, net] : state.made)
    if (part == whole_unet)
      save_state(directory.file("models/" + part + ".safetensors"), nn::state_dict(net));
    else
      save_state(directory.file("models/" + part + "_lora.safetensors"),
                 nn::lora_state(net, part == "feedback" ? "feedback" : "default"));

  Measure<D> measure(run, data, autoencoder, latents, teacher, classifier, &rewards);
  const std::int64_t real = std::min<std::int64_t>(2000, latents.values.dim(0));
  measure.latents("real, autoencoded", latents.values.slice(0, real), data.images.train.labels().slice(0, real),
                  {0, 1, 0, 0}, false);
  measure.sampler("teacher", teacher.unet, {o.teacher_inference_steps, o.guidance, 0, 0}, true);
  std::optional<Net<D>> shown;
  std::vector<OneStepModel<D>> one_step;
  std::vector<std::pair<std::string, Net<D>>> stages;
  for (const auto& [part, net] : state.made) {
    const Net<D> merged = nn::merge_lora(net);
    if (part.starts_with("one-step-")) {
      one_step.push_back({merged, part == whole_unet ? 999.0 : static_cast<diffusion::Time>(o.one_step_time),
                          part == whole_unet ? "1, UNet" : "1, t = " + std::to_string(o.one_step_time)});
      measure.sampler(title_of(part), merged, one_step.back().options(), true);
    } else {
      measure.student(title_of(part), merged);
      shown = merged;
      stages.emplace_back(title_of(part), merged);
    }
  }
  if (tcd) {
    measure.student("TCD", nn::merge_lora(*tcd));
    for (const diffusion::Time time : {999.0, static_cast<diffusion::Time>(o.one_step_time)}) {
      const OneStepModel<D> one{nn::merge_lora(dmd_from_teacher(run, data, teacher, time)), time, ""};
      measure.sampler("DMD of the teacher, t = " + io::number(time), one.net, one.options(), true);
    }
  }

  Findings found;
  found.settings = settings_of(o);
  found.phases = directory.phases();
  found.results = measure.results();
  found.accuracy = measure.accuracy();
  found.preference_accuracy = rewards.preference_accuracy;
  found.judge_accuracy = rewards.judge_accuracy;
  for (const auto& [part, net] : state.made)
    if (part == "feedback") found.sweep = measure.sweep(net, {0, 0.5, 1, 1.5, 2});
  const auto picture = sample_grid(run, data, autoencoder, latents, teacher, shown.value_or(teacher.unet), one_step);
  io::atomic_write(directory.file("samples.svg"), picture);
  const auto by_stage = stage_grid(run, data, autoencoder, latents, teacher, stages);
  io::atomic_write(directory.file("stages.svg"), by_stage);
  const auto reconstruction = reconstruction_grid(data, autoencoder);
  io::atomic_write(directory.file("autoencoder.svg"), reconstruction);
  found.seconds = seconds();
  write_report(run, found, picture, by_stage, reconstruction);
  print_results(found, directory.folder());
}

}  // namespace fashion
