// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/formats/lora_names.hpp>
#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/lora_state.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace hypersd::stable_diffusion {

/// Formats of adapter files that other programs read.
enum class LoraFormat {
  diffusers,  ///< names of peft; rank and alpha in the metadata `lora_adapter_metadata`
  kohya,      ///< names of sd-scripts, with an alpha for each layer; text encoder `lora_te_` (Stable Diffusion 1 and 2)
  kohya_sdxl,  ///< the same with `lora_te1_` and `lora_te2_`
};

namespace detail {

/// Configuration of the adapters of one component as peft's LoraConfig has it: the most frequent rank and alpha, and
/// patterns for the layers that differ.
inline io::Json::Object peft_config(const std::string& component,
                                    const std::map<std::string, std::pair<std::int64_t, double>>& layers) {
  std::map<std::int64_t, int> ranks;
  std::map<double, int> alphas;
  for (const auto& [path, values] : layers) {
    ++ranks[values.first];
    ++alphas[values.second];
  }
  const auto frequent = [](const auto& counts) {
    return std::max_element(counts.begin(), counts.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; })
        ->first;
  };
  const std::int64_t rank = frequent(ranks);
  const double alpha = frequent(alphas);
  const auto number = [](double x) {
    return x == std::floor(x) && std::abs(x) < 1e15 ? io::Json(static_cast<std::int64_t>(x)) : io::Json(x);
  };
  io::Json::Object rank_pattern, alpha_pattern;
  io::Json::Array targets;
  for (const auto& [full, values] : layers) {
    // Without the prefix that transformers 5 omits: peft compares the ends of paths.
    const std::string path = full.starts_with("text_model.") ? full.substr(11) : full;
    targets.push_back(io::Json(path));
    if (values.first != rank) rank_pattern.emplace_back(path, io::Json(values.first));
    if (values.second != alpha) alpha_pattern.emplace_back(path, number(values.second));
  }
  io::Json::Object out;
  out.emplace_back(component + ".r", io::Json(rank));
  out.emplace_back(component + ".lora_alpha", number(alpha));
  out.emplace_back(component + ".rank_pattern", io::Json(std::move(rank_pattern)));
  out.emplace_back(component + ".alpha_pattern", io::Json(std::move(alpha_pattern)));
  out.emplace_back(component + ".target_modules", io::Json(std::move(targets)));
  for (const char* off : {".use_rslora", ".use_dora", ".lora_bias"}) out.emplace_back(component + off, io::Json(false));
  return out;
}

}  // namespace detail

/// Writes an adapter to `path`. `state` is what nn::lora_state gives for a `Model`, or for one of its networks with the
/// prefix `unet`, `text_encoder` or `text_encoder_2`. Throws FormatError for a name of another component, IoError.
template <Scalar T>
void save_lora(const std::string& path, const nn::StateDict<T>& state, LoraFormat format = LoraFormat::diffusers) {
  io::SafetensorsWriter writer;
  std::map<std::string, std::map<std::string, std::pair<std::int64_t, double>>> layers;
  const bool kohya = format != LoraFormat::diffusers;
  for (const auto& [name, tensor] : state) {
    const auto key = io::formats::parse_lora_key(name);
    require<FormatError>(
        key.part != io::formats::LoraPart::other &&
            (key.component == "unet" || key.component == "text_encoder" || key.component == "text_encoder_2"),
        "save_lora: tensor ", io::in_quotes(name),
        " is not a factor or an alpha of unet, text_encoder or text_encoder_2");
    auto& [rank, alpha] = layers[key.component][key.layer];
    const bool down = key.part == io::formats::LoraPart::down, up = key.part == io::formats::LoraPart::up;
    if (down) rank = tensor.dim(0);
    if (!down && !up) alpha = static_cast<double>(tensor.template cast<float>().item());
    if (!kohya) {
      if (down || up) writer.add(name, tensor);
      continue;
    }
    const std::string prefix = key.component == "unet"             ? "lora_unet_"
                               : key.component == "text_encoder_2" ? "lora_te2_"
                               : format == LoraFormat::kohya       ? "lora_te_"
                                                                   : "lora_te1_";
    writer.add(prefix + io::formats::underscored(key.layer) +
                   (down ? ".lora_down.weight"
                    : up ? ".lora_up.weight"
                         : ".alpha"),
               tensor);
  }
  if (!kohya) {
    io::Json::Object metadata;
    for (const auto& [component, list] : layers)
      for (auto& member : detail::peft_config(component, list)) metadata.push_back(std::move(member));
    writer.metadata["lora_adapter_metadata"] = io::Json(std::move(metadata)).str();
  }
  writer.write(path);
}

}  // namespace hypersd::stable_diffusion
