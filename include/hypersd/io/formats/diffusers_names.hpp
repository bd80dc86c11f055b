// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>

/// \file
/// Parameter names that older and newer versions of diffusers and transformers write for the same network.

namespace hypersd::io::formats {

/// The present name of a parameter of AutoencoderKL: before diffusers 0.18 the attention of the middle block had
/// `query`, `key`, `value` and `proj_attn`.
inline std::optional<std::string> autoencoder_name(const std::string& name) {
  constexpr std::array<std::pair<const char*, const char*>, 4> renames{
      {{".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}}};
  const auto attention = name.find("mid_block.attentions.0.");
  if (attention == std::string::npos) return name;
  for (const auto& [old, present] : renames) {
    const auto at = name.find(old, attention);
    if (at != std::string::npos) return name.substr(0, at) + present + name.substr(at + std::string(old).size());
  }
  return name;
}

/// The name of a parameter of CLIPTextModel with its prefix text_model, which transformers 5 omits. The positions that
/// old versions saved (position_ids) are no parameter.
inline std::optional<std::string> text_encoder_name(const std::string& name) {
  if (name.ends_with("position_ids")) return std::nullopt;
  for (const char* start : {"embeddings.", "encoder.layers.", "final_layer_norm."})
    if (name.starts_with(start)) return "text_model." + name;
  return name;
}

}  // namespace hypersd::io::formats
