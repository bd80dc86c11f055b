// SPDX-License-Identifier: Apache-2.0
/// The main job on real images: teacher -> TSCD (k = 8, 4, 2, 1) -> a student that samples in 1 to 8 steps.

#include "fashion/distil.hpp"
#include "fashion/pictures.hpp"
#include "fashion/terminal.hpp"

#include <hypersd/io/metric_log.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/lora_state.hpp>

#include <chrono>
#include <cstdio>
#include <numeric>
#include <optional>

namespace {

using namespace fashion;

/// Writes a network, or an adapter, in the ecosystem's layout.
void save_state(const std::string& path, const nn::StateDict<float>& state) {
  io::SafetensorsWriter writer;
  writer.metadata["format"] = "pt";
  for (const auto& [name, tensor] : state) writer.add(name, tensor);
  writer.write(path);
}

/// Evaluation noise and captions: the classes in turn, the same for every sampler.
struct Prompts {
  Tensor<std::int32_t> labels, captions;
  Tensor<float> noise;
  Prompts(const Dataset& data, std::int64_t n, std::uint64_t seed)
      : labels(Shape{n}), noise(ops::normal<float>(Shape{n, 8, 8, 4}, stream(seed, "evaluation.noise"))) {
    for (std::int64_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i % data.classes());
    captions = data.captions(labels);
  }
};

void execute(const Options& o) {
  const auto begin = std::chrono::steady_clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  const Dataset data(o.data.string());
  pipeline::RunDirectory directory(o.out.string(), settings_of(o),
                                   o.resume ? pipeline::Existing::resume : pipeline::Existing::refuse);
  io::TerminalProgress terminal;
  const Run run{o, directory, [&](const ProgressEvent& e) { terminal(e); }};
  Findings found;
  found.settings = settings_of(o);

  const auto autoencoder = train_autoencoder(run, data);
  const auto classifier = train_classifier(run, data);
  const Latents latents = encode_all(autoencoder, data.images.train.first(o.latent_images));
  const Teacher teacher = train_teacher(run, data, latents);
  const Net student = distil(run, data, latents, teacher, "tscd", o.stage_segments, o.stage_steps);
  found.phases = {"autoencoder", "classifier", "teacher"};
  for (const int k : o.stage_segments) found.phases.push_back("tscd k=" + std::to_string(k));
  std::optional<Net> rival;
  if (o.baseline) {
    const auto total = std::accumulate(o.stage_steps.begin(), o.stage_steps.end(), std::int64_t{0});
    rival = distil(run, data, latents, teacher, "tcd", {1}, {total});
    found.phases.push_back("tcd k=1");
  }

  io::ensure_writable_folder(directory.file("models"));
  save_state(directory.file("models/autoencoder.safetensors"), nn::state_dict(autoencoder));
  save_state(directory.file("models/classifier.safetensors"), nn::state_dict(classifier));
  save_state(directory.file("models/text_encoder.safetensors"), nn::state_dict(teacher.text));
  save_state(directory.file("models/unet.safetensors"), nn::state_dict(teacher.unet));
  save_state(directory.file("models/tscd_lora.safetensors"), nn::lora_state(student));

  const Evaluator evaluator(run, data, classifier);
  const Prompts prompts(data, o.eval_samples, o.seed);
  found.accuracy = evaluator.accuracy();
  auto sample = [&](const Net& net, const Prompts& p, SampleOptions s, const std::string& phase) {
    s.seed = o.seed;
    return sample_latents(net, teacher.text, p.captions, p.noise, s, run.progress, phase);
  };
  const std::int64_t few = std::min(o.trajectory_samples, o.eval_samples);
  const Prompts first(data, few, o.seed);
  const auto ends = sample(teacher.unet, first, {50, o.guidance, 0, 0}, "teacher, 50 steps");
  io::MetricLog log(directory.file("metrics"),
                    {"method", "steps", "eta", "fd", "fd_low", "fd_high", "agreement", "agreement_low",
                     "agreement_high", "trajectory", "trajectory_low", "trajectory_high"});
  auto measure = [&](const std::string& method, const Tensor<float>& z, const Tensor<std::int32_t>& labels,
                     const SampleOptions& s, bool trajectory) {
    Result r{method, s.steps, s.eta, {}, {}, {std::nan(""), std::nan(""), std::nan("")}};
    const auto images = decode_all(autoencoder, latents, z);
    r.frechet = evaluator.frechet(images);
    r.agreement = evaluator.agreement(images, labels);
    if (trajectory)
      r.trajectory = metrics::trajectory_error(z.slice(0, few), ends).interval({.resamples = o.bootstrap});
    log.append({{"method", method},
                {"steps", s.steps},
                {"eta", s.eta},
                {"fd", r.frechet.estimate},
                {"fd_low", r.frechet.low},
                {"fd_high", r.frechet.high},
                {"agreement", r.agreement.estimate},
                {"agreement_low", r.agreement.low},
                {"agreement_high", r.agreement.high},
                {"trajectory", r.trajectory.estimate},
                {"trajectory_low", r.trajectory.low},
                {"trajectory_high", r.trajectory.high}});
    found.results.push_back(r);
  };
  const std::int64_t real = std::min<std::int64_t>(2000, latents.values.dim(0));
  measure("real, autoencoded", latents.values.slice(0, real), data.images.train.labels().slice(0, real), {0, 1, 0, 0},
          false);
  const SampleOptions long_run{o.teacher_inference_steps, o.guidance, 0, 0};
  measure("teacher", sample(teacher.unet, prompts, long_run, "teacher, " + std::to_string(long_run.steps) + " steps"),
          prompts.labels, long_run, true);
  std::vector<std::pair<std::string, Net>> students{{"TSCD", nn::merge_lora(student)}};
  if (rival) students.emplace_back("TCD", nn::merge_lora(*rival));
  for (const auto& [method, net] : students)
    for (const std::int64_t n : o.student_steps)
      for (const double eta : {0.0, o.eta}) {
        if (eta > 0 && n < 2) continue;
        const SampleOptions s{n, 1, eta, 0};
        measure(method, sample(net, prompts, s, method + ", " + std::to_string(n) + " steps"), prompts.labels, s,
                eta == 0);
      }

  const auto picture = sample_grid(run, data, autoencoder, latents, teacher, students.front().second);
  io::write_png(directory.file("samples.png"), picture);
  const auto reconstruction = reconstruction_grid(data, autoencoder);
  io::write_png(directory.file("autoencoder.png"), reconstruction);
  found.seconds = seconds();
  write_report(run, found, picture, reconstruction);
  print_results(found, directory.folder());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options o = parse_options(argc, argv);
    if (o.threads > 0) set_num_threads(o.threads);
    execute(o);
    return 0;
  } catch (const CLI::ParseError& e) {
    return report_usage(e, "hypersd_fashion");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "hypersd_fashion: %s\n", e.what());
    return 2;
  }
}
