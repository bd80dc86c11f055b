// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <hypersd/io/formats/ldm_names.hpp>
#include <hypersd/io/json_fields.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// \file
/// Names of the tensors of low-rank adapters in files of kohya's sd-scripts, of diffusers (three spellings) and of
/// peft.

namespace hypersd::io::formats {

/// What a tensor of an adapter file is.
enum class LoraPart {
  down,   ///< A [r, in, ...]
  up,     ///< B [out, r, ...]
  alpha,  ///< the scale is alpha / r
  other   ///< of another method, or unknown
};

/// The name of a tensor of an adapter file, taken apart.
struct LoraKey {
  std::string component;  ///< `unet`, `text_encoder`, `text_encoder_2`, or empty if the name does not say
  std::string layer;      ///< path of the layer as it is written
  LoraPart part = LoraPart::other;
  std::string method;  ///< of `other`: what it belongs to, such as `DoRA`; empty: unknown
};

/// `path` with underscores for dots, as kohya writes it.
inline std::string underscored(std::string path) {
  std::replace(path.begin(), path.end(), '.', '_');
  return path;
}

namespace detail {

struct LoraSuffix {
  std::string_view text;
  LoraPart part;
  const char* method = "";
};
inline constexpr LoraSuffix lora_suffixes[] = {{".lora_down.weight", LoraPart::down},
                                               {".lora_up.weight", LoraPart::up},
                                               {".lora_A.weight", LoraPart::down},
                                               {".lora_B.weight", LoraPart::up},
                                               {".lora.down.weight", LoraPart::down},
                                               {".lora.up.weight", LoraPart::up},
                                               {".lora_linear_layer.down.weight", LoraPart::down},
                                               {".lora_linear_layer.up.weight", LoraPart::up},
                                               {"_lora.down.weight", LoraPart::down},
                                               {"_lora.up.weight", LoraPart::up},
                                               {".alpha", LoraPart::alpha},
                                               {".dora_scale", LoraPart::other, "DoRA"},
                                               {".lora_magnitude_vector", LoraPart::other, "DoRA"},
                                               {".lora_magnitude_vector.weight", LoraPart::other, "DoRA"},
                                               {".lora_mid.weight", LoraPart::other, "LoRA with a CP decomposition"},
                                               {".lora_B.bias", LoraPart::other, "LoRA with a bias"},
                                               {".lora_up.bias", LoraPart::other, "LoRA with a bias"},
                                               {".lora_embedding_A", LoraPart::other, "LoRA of an embedding"},
                                               {".lora_embedding_B", LoraPart::other, "LoRA of an embedding"},
                                               {".diff", LoraPart::other, "a difference of whole weights"},
                                               {".diff_b", LoraPart::other, "a difference of whole weights"},
                                               {".w_norm", LoraPart::other, "a norm of LyCORIS"},
                                               {".b_norm", LoraPart::other, "a norm of LyCORIS"},
                                               {".oft_blocks", LoraPart::other, "OFT"},
                                               {".oft_diag", LoraPart::other, "OFT"},
                                               {".on_input", LoraPart::other, "IA3"}};

/// Cuts the adapter's name out of peft's `.lora_A.NAME.weight`.
inline std::string without_adapter_name(const std::string& name) {
  for (const std::string_view mark : {".lora_A.", ".lora_B.", ".lora_magnitude_vector."}) {
    const auto at = name.find(mark);
    if (at == std::string::npos) continue;
    const auto end = name.find('.', at + mark.size());
    if (end != std::string::npos) return name.substr(0, at + mark.size() - 1) + name.substr(end);
  }
  return name;
}

}  // namespace detail

/// Takes the name of a tensor apart.
inline LoraKey parse_lora_key(const std::string& tensor) {
  LoraKey key;
  const std::string name = detail::without_adapter_name(tensor);
  std::string_view layer = name;
  const auto* suffix = std::find_if(std::begin(detail::lora_suffixes), std::end(detail::lora_suffixes),
                                    [&](const auto& s) { return name.ends_with(s.text); });
  if (suffix != std::end(detail::lora_suffixes)) {
    key.part = suffix->part;
    key.method = suffix->method;
    layer.remove_suffix(suffix->text.size());
  } else {
    for (const auto& [mark, method] : {std::pair(".hada_", "LoHa"), std::pair(".lokr_", "LoKr")}) {
      const auto at = layer.rfind(mark);
      if (at == std::string_view::npos) continue;
      key.method = method;
      layer = layer.substr(0, at);
    }
  }
  detail::take(layer, "base_model.model.");
  for (const auto& [prefix, component] :
       {std::pair("lora_unet_", "unet"), std::pair("lora_te1_", "text_encoder"),
        std::pair("lora_te2_", "text_encoder_2"), std::pair("lora_te_", "text_encoder"), std::pair("unet.", "unet"),
        std::pair("text_encoder_2.", "text_encoder_2"), std::pair("text_encoder.", "text_encoder"),
        std::pair("diffusion_model.", "unet")}) {
    if (!detail::take(layer, prefix)) continue;
    key.component = component;
    break;
  }
  key.layer = layer;
  // Attention processors of old versions of diffusers: attn1.processor.to_q_lora is attn1.to_q.
  if (suffix != std::end(detail::lora_suffixes) && suffix->text.starts_with("_lora.")) {
    const auto at = key.layer.rfind('.');
    std::string block = key.layer.substr(0, at), part = at == std::string::npos ? "" : key.layer.substr(at + 1);
    if (block.ends_with(".processor")) block.resize(block.size() - 10);
    if (block.ends_with("self_attn"))
      part = part == "to_out" ? "out_proj" : part.starts_with("to_") ? part.substr(3) + "_proj" : part;
    else if (part == "to_out")
      part = "to_out.0";
    key.layer = block + "." + part;
  }
  return key;
}

/// The layers of one network by all spellings of their paths.
class LayerNames {
 public:
  /// `paths` as in diffusers.
  explicit LayerNames(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) add(path, path);
  }
  /// Also the names of a single-file UNet.
  LayerNames(const std::vector<std::string>& paths, const LdmUnetLayout& layout) : LayerNames(paths) {
    for (const std::string& path : paths)
      if (const auto name = ldm_unet_name(path, layout)) add(*name, path);
  }
  /// Also the names of a text encoder without its prefix text_model.
  static LayerNames of_text_encoder(const std::vector<std::string>& paths) {
    LayerNames names(paths);
    for (const std::string& path : paths)
      if (path.starts_with("text_model.")) names.add(path.substr(11), path);
    return names;
  }
  /// The path of the layer that is written as `name`; nothing if there is none.
  [[nodiscard]] std::optional<std::string> find(const std::string& name) const {
    const auto at = paths_.find(name);
    return at == paths_.end() ? std::nullopt : std::optional(at->second);
  }

 private:
  void add(const std::string& spelling, const std::string& path) {
    paths_.emplace(spelling, path);
    paths_.emplace(underscored(spelling), path);
  }
  std::map<std::string, std::string> paths_;
};

/// The scales of an adapter of peft, from `adapter_config.json` or from the metadata of a file of diffusers.
class PeftScales {
 public:
  /// No statement: alpha = rank.
  PeftScales() = default;
  /// Reads `prefix`lora_alpha, `prefix`alpha_pattern, ... of `config`. Throws FormatError naming `file` for values of
  /// a wrong kind and for methods that are not LoRA.
  PeftScales(const Json& config, const std::string& file, const std::string& prefix = "") {
    JsonFields f(config, file);
    if (f.has(prefix + "lora_alpha")) alpha_ = f.real(prefix + "lora_alpha", 0);
    rslora_ = f.flag(prefix + "use_rslora", false);
    f.require_one_of(prefix + "peft_type", {"\"LORA\""});
    f.require_one_of(prefix + "use_dora", {"false"});
    f.require_one_of(prefix + "lora_bias", {"false"});
    f.require_one_of(prefix + "bias", {"\"none\""});
    f.require_one_of(prefix + "fan_in_fan_out", {"false"});
    const Json* patterns = f.find(prefix + "alpha_pattern");
    if (patterns == nullptr) return;
    if (patterns->as<Json::Object>() == nullptr) f.refuse(prefix + "alpha_pattern", "an object is needed");
    for (const auto& [pattern, value] : *patterns->as<Json::Object>()) {
      const bool literal = pattern.find_first_of("*+?()[]{}|\\$") == std::string::npos;
      if (!literal || !value.is_number())
        f.refuse(prefix + "alpha_pattern",
                 "paths of layers with numbers are needed, regular expressions are not supported");
      patterns_.emplace_back(pattern, value.number());
    }
  }
  /// alpha such that alpha / rank is the scale of the layer; nothing if the configuration does not say.
  [[nodiscard]] std::optional<double> alpha(const std::string& layer, std::int64_t rank) const {
    std::optional<double> value = alpha_;
    for (const auto& [pattern, number] : patterns_) {
      const std::string_view tail = pattern.starts_with("^") ? std::string_view(pattern).substr(1) : pattern;
      if (layer == tail || (tail == pattern && layer.ends_with("." + pattern))) {
        value = number;
        break;
      }
    }
    const auto r = static_cast<double>(rank);
    if (rslora_) return value.value_or(r) * std::sqrt(r);
    return value;
  }

 private:
  std::optional<double> alpha_;
  std::vector<std::pair<std::string, double>> patterns_;
  bool rslora_ = false;
};

}  // namespace hypersd::io::formats
