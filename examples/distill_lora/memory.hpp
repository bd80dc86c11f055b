// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "options.hpp"

#include <filesystem>
#include <hypersd/io/file.hpp>
#include <hypersd/io/formats/weight_files.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/models/unet.hpp>

/// \file
/// What a run needs in memory, counted before anything is loaded. The networks here hold shapes only.

namespace distill_lora {

using namespace hypersd;

/// Bytes of a run that computes in float32, by what they are for.
struct MemoryNeed {
  std::vector<std::pair<std::string, double>> parts;
  [[nodiscard]] double total() const {
    double sum = 0;
    for (const auto& part : parts) sum += part.second;
    return sum;
  }
};

/// Elements that training keeps of one UNet pass on one sample with latents of `side` x `side`: about 7 activations of
/// a resnet's width and 30 of a transformer block's. With `checkpoint` one for each resnet and transformer, and once
/// the inside of the largest.
inline double activations(const nn::UnetConfig& c, std::int64_t side, bool checkpoint) {
  double kept = 0, largest = 0;
  const auto layer = [&](double positions, double width, std::int64_t depth) {
    const double resnet = 7 * positions * width, transformer = static_cast<double>(30 * depth) * positions * width;
    kept += checkpoint ? positions * width * (depth > 0 ? 2 : 1) : resnet + transformer;
    largest = std::max({largest, resnet, transformer});
  };
  for (std::size_t i = 0; i < c.levels(); ++i) {
    const double edge = static_cast<double>((side + (std::int64_t{1} << i) - 1) >> i);
    const auto width = static_cast<double>(c.block_out_channels[i]);
    for (std::int64_t j = 0; j < c.layers_per_block; ++j)
      layer(edge * edge, width, c.down_attention[i] ? c.transformer_layers[i] : 0);
    // The up path joins a skip connection: resnets of twice the width.
    for (std::int64_t j = 0; j <= c.layers_per_block; ++j)
      layer(edge * edge, 1.5 * width, c.attention_up(i) ? c.transformer_layers[i] : 0);
    if (i + 1 == c.levels())
      for (int j = 0; j < 2; ++j) layer(edge * edge, width, c.mid_attention && j == 0 ? c.transformer_layers[i] : 0);
  }
  return kept + (checkpoint ? 3 : 1) * largest;
}

/// Bytes of an element of the UNet's weights: on the CPU 16-bit ones stay as they are stored or rounded.
inline double weight_bytes(const Options& o) {
  if (o.dtype != "f32") return 2;
  const std::string stem = "diffusion_pytorch_model";
  const auto table = io::formats::open_weights(io::formats::find_weights(o.model + "/unet", stem, o.variant));
  return o.device == "cpu" && io::dtype_bits(table.dtype(table.names().front())) == 16 ? 2 : 4;
}

/// The need of a process of a run of `o` with a UNet of `config` on latents of `side` x `side`, of which it takes
/// `batch`.
inline MemoryNeed memory_need(const Options& o, const nn::UnetConfig& config, std::int64_t side,
                              std::int64_t autoencoder_parameters, double stored, std::int64_t batch) {
  nn::Unet<float> net(config);
  const auto weights = static_cast<double>(nn::parameter_count(net));
  double factors = 0;
  nn::for_each_layer(net, [&](const std::string&, const auto& layer) {
    factors += static_cast<double>(o.rank * (layer.weight.dim(0) + layer.weight.shape().numel_from(1)));
  });
  constexpr double bytes = 4;
  MemoryNeed need;
  need.parts = {{"teacher, shared by student and target", stored * weights},
                {"program and buffers", 1e8},
                {"autoencoder", stored * static_cast<double>(autoencoder_parameters)},
                // Student and target, gradients, two moments; feedback has an adapter of its own.
                {"LoRA, its target, gradients and moments", bytes * factors * (o.feedback_steps > 0 ? 7 : 5)},
                {"activations", bytes * static_cast<double>(batch) * activations(config, side, !o.keep_activations)},
                // Layers with an adapter compute on the sum of weight and update.
                {"weights with the adapter added, while a gradient is computed", bytes * weights}};
  double rewards = 0;
  const auto add = [&](const std::filesystem::path& file) {
    std::error_code missing;
    const auto size = std::filesystem::file_size(file, missing);
    if (!missing) rewards += static_cast<double>(size);
  };
  add(o.image_reward);
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(o.clip, ignored))
    if (file.path().extension() == ".safetensors") add(file.path());
  if (rewards > 0 && o.feedback_steps > 0) need.parts.emplace_back("reward models", rewards);
  if (o.one_step_steps > 0) need.parts.emplace_back("fake score, its gradients and moments", bytes * weights * 4);
  return need;
}

/// Bytes that this machine has free, 0 where it does not say.
inline double available_memory() {
  std::string text;
  try {
    text = io::read_file("/proc/meminfo");
  } catch (const IoError&) {
    return 0;
  }
  const auto at = text.find("MemAvailable:");
  return at == std::string::npos ? 0 : 1024 * std::strtod(text.c_str() + at + 13, nullptr);
}

/// Prints the need of each of `processes`, and throws OptionError where the CPU's memory does not suffice for all of
/// them, unless `--force`.
inline void check_memory(const Options& o, const MemoryNeed& need, int processes) {
  std::printf("memory that %s needs (computing in float32):\n", processes > 1 ? "each process" : "the run");
  for (const auto& [what, size] : need.parts) std::printf("  %9.2f GB  %s\n", size / 1e9, what.c_str());
  const double free = o.device == "cpu" ? available_memory() : 0;
  std::printf("  %9.2f GB  in all", need.total() / 1e9);
  std::printf(free > 0 ? "; %.2f GB are available\n" : "\n", free / 1e9);
  std::fflush(stdout);
  if (o.dry_run || o.force || free <= 0) return;
  const double all = need.total() * processes;
  require<OptionError>(
      all <= free, "the run needs about ", io::compact(std::round(all / 1e8) / 10), " GB, ",
      io::compact(std::round(free / 1e8) / 10),
      " GB are available. A smaller --batch, --size or --rank needs less, --one-step-steps 0 saves the "
      "fake score; --force tries it all the same");
}

}  // namespace distill_lora
