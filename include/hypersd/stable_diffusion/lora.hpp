// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <hypersd/io/formats/lora_names.hpp>
#include <hypersd/io/formats/weight_files.hpp>
#include <hypersd/nn/lora_state.hpp>
#include <hypersd/stable_diffusion/model.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

/// \file
/// Low-rank adapters of other programs on a `Model`. The model is a module, so that nn::set_lora_weights changes the
/// strength of adapters, nn::remove_lora takes one off, and nn::merge_lora gives a copy with merged weights (the fused
/// form). The model itself keeps its own weights: unfusing is to go back to it, to the last bit.

namespace hypersd::stable_diffusion {

/// Options of `apply_lora`.
struct LoraOptions {
  double weight = 1;           ///< strength; any finite number
  std::string name = "";       ///< adapters of one name belong together; empty: the name of the file or folder
  std::string component = "";  ///< `unet`, `text_encoder` or `text_encoder_2`, for files that do not say
  bool allow_unused = false;   ///< whether tensors that are not applied are accepted
};

/// What `apply_lora` did.
struct AppliedLora {
  std::string name;                   ///< the adapter's name
  std::map<std::string, int> layers;  ///< number of adapted layers by component
  std::vector<std::string> unused;    ///< tensors that were not applied, each with the reason
};

namespace detail {

/// The safetensors file of an adapter: the file itself, or the usual one of a folder.
inline std::string find_lora_file(const std::string& path) {
  io::formats::refuse_pickle(path);
  if (!std::filesystem::is_directory(path)) return path;
  std::vector<std::string> all;
  for (const char* usual : {"pytorch_lora_weights.safetensors", "adapter_model.safetensors"})
    if (std::filesystem::exists(path + "/" + usual)) return path + "/" + usual;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    if (entry.path().extension() == ".safetensors") all.push_back(entry.path().string());
  if (all.size() == 1) return all[0];
  if (all.empty())
    for (const auto& entry : std::filesystem::directory_iterator(path))
      io::formats::refuse_pickle(entry.path().string());
  fail<IoError>(io::in_quotes(path), " has ", all.size(), " safetensors files: name the one of the adapter");
}

/// Layer names of the networks that adapters may change, by component.
template <Scalar T, Device D>
std::map<std::string, io::formats::LayerNames> layer_names(Model<T, D>& model) {
  std::map<std::string, std::vector<std::string>> paths;
  nn::for_each_layer(model, [&](const std::string& path, auto&) {
    const auto dot = path.find('.');
    paths[path.substr(0, dot)].push_back(path.substr(dot + 1));
  });
  const nn::UnetConfig& config = model.unet.config();
  io::formats::LdmUnetLayout layout{config.layers_per_block, {}};
  for (std::size_t level = config.levels(); level-- > 0;) layout.up_attention.push_back(config.attention_up(level));
  std::map<std::string, io::formats::LayerNames> out;
  for (const auto& [component, list] : paths) {
    if (component == "unet") out.emplace(component, io::formats::LayerNames(list, layout));
    if (component.starts_with("text_encoder")) out.emplace(component, io::formats::LayerNames::of_text_encoder(list));
  }
  return out;
}

/// The scales that an adapter's configuration states, by component.
class LoraScales {
 public:
  LoraScales(const std::string& file, const io::SafetensorsFile& tensors) {
    const auto path = std::filesystem::path(file);
    const auto config = path.parent_path() / "adapter_config.json";
    if (path.filename().string().starts_with("adapter_model") && std::filesystem::exists(config))
      all_ = io::formats::PeftScales(io::read_json(config.string()), config.string());
    const std::string text = tensors.metadata("lora_adapter_metadata", "");
    if (text.empty()) return;
    const std::string where = file + ": metadata lora_adapter_metadata";
    const io::Json json = io::Json::parse(text, io::in_quotes(where));
    for (const char* component : {"unet", "text_encoder", "text_encoder_2"})
      by_component_[component] = io::formats::PeftScales(json, where, std::string(component) + ".");
  }
  [[nodiscard]] std::optional<double> alpha(const std::string& component, const std::string& layer,
                                            std::int64_t rank) const {
    const auto at = by_component_.find(component);
    const auto value = at == by_component_.end() ? std::nullopt : at->second.alpha(layer, rank);
    return value ? value : all_.alpha(layer, rank);
  }

 private:
  io::formats::PeftScales all_;
  std::map<std::string, io::formats::PeftScales> by_component_;
};

/// The component and path of the layer that a key names; throws FormatError if two text encoders fit.
template <class Names>
std::pair<std::string, std::string> find_layer(const Names& names, const io::formats::LoraKey& key,
                                               const std::string& component, const std::string& file) {
  std::vector<std::pair<std::string, std::string>> found;
  for (const auto& [name, layers] : names) {
    const std::string& stated = key.component.empty() ? component : key.component;
    if (!stated.empty() && stated != name) continue;
    if (const auto path = layers.find(key.layer)) found.emplace_back(name, *path);
  }
  require<FormatError>(found.size() < 2, io::in_quotes(file), ": layer ", io::in_quotes(key.layer),
                       " is in both text encoders and the file does not say which: set LoraOptions::component");
  return found.empty() ? std::pair<std::string, std::string>() : found[0];
}

}  // namespace detail

/// Adds an adapter from a file (or a folder of peft or diffusers) to the networks of a model: LoRA factors of linear
/// layers and of 1x1 and 3x3 convolutions, in the spellings of kohya (diffusers' or SGM's names of blocks), diffusers
/// and peft; any rank and alpha in each layer, F32, F16 or BF16. The weights of the model are not changed.
///
/// Throws FormatError that lists the tensors which were not applied (unknown layers, other methods such as DoRA, LoHa
/// and LoKr) unless `allow_unused`; a layer with a part of another method is not applied at all. Throws FormatError or
/// ShapeError for factors that do not fit, OptionError for a name in use. The model is unchanged then.
template <Scalar T, Device D>
AppliedLora apply_lora(Model<T, D>& model, const std::string& path, const LoraOptions& options = {}) {
  using io::formats::LoraPart;
  const std::string file = detail::find_lora_file(path);
  require<OptionError>(std::isfinite(options.weight), io::in_quotes(file), ": the weight of an adapter must be finite");
  const io::SafetensorsFile tensors(file);
  const auto names = detail::layer_names(model);
  const detail::LoraScales scales(file, tensors);
  struct Layer {
    std::string component, path;
    std::map<LoraPart, std::string> parts;
    std::vector<std::string> tensors;
    std::string obstacle;
  };
  std::map<std::string, Layer> layers;
  AppliedLora out;
  out.name = options.name.empty() ? std::filesystem::path(path).stem().string() : options.name;
  std::replace(out.name.begin(), out.name.end(), '.', '_');
  for (const std::string& tensor : tensors.names()) {
    const auto key = io::formats::parse_lora_key(tensor);
    const auto [component, layer] = detail::find_layer(names, key, options.component, file);
    if (layer.empty() || (key.part == LoraPart::other && key.method.empty())) {
      out.unused.push_back(io::in_quotes(tensor) + (layer.empty() ? " (no such layer)" : " (unknown kind)"));
      continue;
    }
    Layer& entry = layers[component + "." + layer];
    entry.component = component;
    entry.path = layer;
    entry.tensors.push_back(tensor);
    if (key.part == LoraPart::other) {
      entry.obstacle = key.method + " is not supported";
      continue;
    }
    const auto [first, added] = entry.parts.emplace(key.part, tensor);
    require<FormatError>(added, io::in_quotes(file), ": tensors ", io::in_quotes(first->second), " and ",
                         io::in_quotes(tensor), " are the same part of one layer");
  }
  nn::StateDict<float> state;
  for (const auto& [name, layer] : layers) {
    if (!layer.obstacle.empty()) {
      for (const std::string& tensor : layer.tensors)
        out.unused.push_back(io::in_quotes(tensor) + " (" + layer.obstacle + ")");
      continue;
    }
    std::int64_t rank = 0;
    for (const auto& [part, tensor] : layer.parts) {
      const Shape shape = tensors.shape(tensor);
      if (part == LoraPart::alpha) {
        require<FormatError>(shape.numel() == 1, io::in_quotes(file), ": alpha ", io::in_quotes(tensor), " has shape ",
                             shape);
        state.emplace(name + ".alpha", tensors.get<float>(tensor, io::Convert::AnyNumber).reshape(Shape{}));
      } else {
        if (part == LoraPart::down) rank = shape.rank() > 0 ? shape[0] : 0;
        state.emplace(name + (part == LoraPart::down ? ".lora_A.weight" : ".lora_B.weight"),
                      tensors.get<float>(tensor));
      }
    }
    const auto alpha = scales.alpha(layer.component, layer.path, rank);
    if (alpha && layer.parts.count(LoraPart::alpha) == 0)
      state.emplace(name + ".alpha", Tensor<float>::full(Shape{}, static_cast<float>(*alpha)));
    ++out.layers[layer.component];
  }
  if (!out.unused.empty() && !options.allow_unused) {
    std::string list;
    for (std::size_t i = 0; i < out.unused.size() && i < 20; ++i) list += "\n  " + out.unused[i];
    fail<FormatError>(io::in_quotes(file), ": ", out.unused.size(), " of ", tensors.size(),
                      " tensors cannot be applied to this ", family_name(model.family), " model:", list,
                      out.unused.size() > 20 ? "\n  ..." : "");
  }
  try {
    nn::load_lora_state(model, state, out.name, options.weight);
  } catch (const FormatError& error) {
    fail<FormatError>(io::in_quotes(file), ": ", error.what());
  } catch (const ShapeError& error) {
    fail<ShapeError>(io::in_quotes(file), ": ", error.what());
  }
  return out;
}

}  // namespace hypersd::stable_diffusion
