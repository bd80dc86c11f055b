// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "measure.hpp"
#include "pictures.hpp"
#include "terminal.hpp"

#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/lora_state.hpp>

#include <chrono>
#include <optional>

/// \file
/// What the main job leaves behind: models, measures, pictures, the report.

namespace fashion {

/// A student of another method, for comparison; one with a time takes one step from it.
template <Device D>
struct Baseline {
  std::string title;
  Net<D> net;
  std::optional<diffusion::Time> time;
};

/// All networks of the job.
template <Device D>
struct Models {
  nn::Autoencoder<float, D> autoencoder;
  nn::Classifier<float, D> classifier;
  Latents<D> latents;
  Teacher<D> teacher;
  Rewards<D> rewards;
  std::vector<std::pair<std::string, Net<D>>> made;  ///< what each part of the recipe left behind, by its name
  std::vector<Baseline<D>> baselines;
};

/// Writes a network, or an adapter, in the ecosystem's layout.
inline void save_state(const std::string& path, const nn::StateDict<float>& state) {
  io::SafetensorsWriter writer;
  writer.metadata["format"] = "pt";
  for (const auto& [name, tensor] : state) writer.add(name, tensor);
  writer.write(path);
}

/// Writes a picture of what has been trained so far and says so.
inline void show_picture(const Run& run, const std::string& file, const std::string& svg, const char* what) {
  io::atomic_write(run.directory.file(file), svg);
  std::printf("picture: %s (%s)\n", run.directory.file(file).c_str(), what);
  std::fflush(stdout);
}

/// Saves and measures the models and writes the report of a job that began at `begin`. `reconstruction` is the picture
/// of what the autoencoder keeps.
template <Device D>
void show_results(const Run& run, const Dataset& data, const Models<D>& m, const std::string& reconstruction,
                  std::chrono::steady_clock::time_point begin) {
  const Options& o = run.options;
  io::ensure_writable_folder(run.directory.file("models"));
  save_state(run.directory.file("models/autoencoder.safetensors"), nn::state_dict(m.autoencoder));
  save_state(run.directory.file("models/classifier.safetensors"), nn::state_dict(m.classifier));
  save_state(run.directory.file("models/text_encoder.safetensors"), nn::state_dict(m.teacher.text));
  save_state(run.directory.file(std::string("models/") + backbone_name + ".safetensors"),
             nn::state_dict(m.teacher.unet));
  for (const auto& [part, net] : m.made)
    if (part == whole_unet)
      save_state(run.directory.file("models/" + part + ".safetensors"), nn::state_dict(net));
    else
      save_state(run.directory.file("models/" + part + "_lora.safetensors"),
                 nn::lora_state(net, part == "feedback" ? "feedback" : "default"));

  Measure<D> measure(run, data, m.autoencoder, m.latents, m.teacher, m.classifier, &m.rewards);
  const std::int64_t real = std::min<std::int64_t>(2000, m.latents.values.dim(0));
  measure.latents("real, autoencoded", m.latents.values.slice(0, real), data.images.train.labels().slice(0, real),
                  {0, 1, 0, 0}, false);
  measure.teacher();
  std::optional<Net<D>> shown;
  std::vector<OneStepModel<D>> one_step;
  std::vector<std::pair<std::string, Net<D>>> stages;
  for (const auto& [part, net] : m.made) {
    const Net<D> merged = nn::merge_lora(net);
    if (part.starts_with("one-step-")) {
      one_step.push_back({merged, part == whole_unet ? last_time() : time_of(o.one_step_time),
                          part == whole_unet ? "1, UNet" : "1, t = " + std::to_string(o.one_step_time)});
      measure.sampler(title_of(part, o), merged, one_step.back().options(), true);
    } else {
      measure.student(title_of(part, o), merged);
      shown = merged;
      stages.emplace_back(title_of(part, o), merged);
    }
  }
  for (const auto& [title, net, time] : m.baselines) {
    if (time)
      measure.sampler(title, net, OneStepModel<D>{net, *time, ""}.options(), true);
    else
      measure.student(title, net);
  }

  Findings found;
  found.settings = settings_of(o);
  found.phases = run.directory.phases();
  found.results = measure.results();
  found.accuracy = measure.accuracy();
  found.preference_accuracy = m.rewards.preference_accuracy;
  found.judge_accuracy = m.rewards.judge_accuracy;
  for (const auto& [part, net] : m.made)
    if (part == "feedback") found.sweep = measure.sweep(net, {0, 0.5, 1, 1.5, 2});
  const SampleSets sets =
      draw_sets(run, data, m.autoencoder, m.latents, m.teacher, shown.value_or(m.teacher.unet), one_step);
  const auto picture = sample_grid(sets);
  io::atomic_write(run.directory.file("samples.svg"), picture);
  const auto by_stage = stage_grid(run, data, m.autoencoder, m.latents, m.teacher, stages);
  io::atomic_write(run.directory.file("stages.svg"), by_stage);
  found.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  write_report(run, found, {picture, sample_strip(sets), by_stage, reconstruction});
  print_results(found, run.directory.folder());
}

}  // namespace fashion
