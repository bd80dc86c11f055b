// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <hypersd/io/formats/tensor_table.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// \file
/// Names of parameters in single-file checkpoints (CompVis latent-diffusion, Stability-AI generative-models) for the
/// names of diffusers and transformers. Prefixes of the parts of a checkpoint (`model.diffusion_model.`) are not part
/// of the names here. Works on paths of layers as on names of parameters.

namespace hypersd::io::formats {

/// What the numbers in the names of a UNet depend on.
struct LdmUnetLayout {
  std::int64_t layers_per_block = 2;    ///< resnets of a level of the down path
  std::vector<bool> up_attention = {};  ///< whether each level of the up path has transformers, coarsest first
};

namespace detail {

/// Takes `start` off the front of `rest`; false if it does not begin so.
inline bool take(std::string_view& rest, std::string_view start) {
  if (!rest.starts_with(start)) return false;
  rest.remove_prefix(start.size());
  return true;
}
/// Takes a number and the dot behind it.
inline bool take_number(std::string_view& rest, std::int64_t& number) {
  const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (code != std::errc() || number < 0 || number > 1000000) return false;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return take(rest, ".");
}

struct Rename {
  std::string_view from, to;
};
/// Replaces the first `from` that `rest` begins with, as whole parts of a path; nothing if there is none.
template <std::size_t N>
std::optional<std::string> replace_start(std::string_view rest, const Rename (&renames)[N]) {
  for (const Rename& r : renames) {
    if (!rest.starts_with(r.from)) continue;
    const std::string_view tail = rest.substr(r.from.size());
    if (tail.empty() || tail[0] == '.') return std::string(r.to) + std::string(tail);
  }
  return std::nullopt;
}

inline std::optional<std::string> ldm_resnet(std::string_view rest) {
  constexpr Rename renames[] = {{"norm1", "in_layers.0"},          {"conv1", "in_layers.2"},
                                {"norm2", "out_layers.0"},         {"conv2", "out_layers.3"},
                                {"time_emb_proj", "emb_layers.1"}, {"conv_shortcut", "skip_connection"}};
  return replace_start(rest, renames);
}
inline std::optional<std::string> ldm_vae_resnet(std::string_view rest) {
  constexpr Rename renames[] = {{"norm1", "norm1"},
                                {"conv1", "conv1"},
                                {"norm2", "norm2"},
                                {"conv2", "conv2"},
                                {"conv_shortcut", "nin_shortcut"}};
  return replace_start(rest, renames);
}
inline std::string text_of(std::int64_t n) { return std::to_string(n); }

}  // namespace detail

/// Where a single file has the parameter `name` of a UNet2DConditionModel; nothing if it has no such parameter.
inline std::optional<std::string> ldm_unet_name(const std::string& name, const LdmUnetLayout& layout) {
  using detail::text_of;
  constexpr detail::Rename fixed[] = {{"time_embedding.linear_1", "time_embed.0"},
                                      {"time_embedding.linear_2", "time_embed.2"},
                                      {"time_embedding.cond_proj", "time_embed.cond_proj"},
                                      {"add_embedding.linear_1", "label_emb.0.0"},
                                      {"add_embedding.linear_2", "label_emb.0.2"},
                                      {"conv_in", "input_blocks.0.0"},
                                      {"conv_norm_out", "out.0"},
                                      {"conv_out", "out.2"},
                                      {"mid_block.attentions.0", "middle_block.1"}};
  if (auto simple = detail::replace_start(name, fixed)) return simple;
  std::string_view rest = name;
  std::int64_t i = 0, j = 0;
  const std::int64_t n = layout.layers_per_block + 1;
  const auto with = [](const std::string& block, const std::optional<std::string>& tail) {
    return tail ? std::optional(block + "." + *tail) : std::nullopt;
  };
  if (detail::take(rest, "mid_block.resnets.") && detail::take_number(rest, j))
    return with("middle_block." + text_of(2 * j), detail::ldm_resnet(rest));
  const bool down = detail::take(rest, "down_blocks.");
  if ((!down && !detail::take(rest, "up_blocks.")) || !detail::take_number(rest, i)) return std::nullopt;
  const std::string blocks = down ? "input_blocks." : "output_blocks.";
  const std::int64_t first = down ? 1 + n * i : n * i;
  if (detail::take(rest, "resnets.") && detail::take_number(rest, j))
    return with(blocks + text_of(first + j) + ".0", detail::ldm_resnet(rest));
  if (detail::take(rest, "attentions.") && detail::take_number(rest, j))
    return blocks + text_of(first + j) + ".1." + std::string(rest);
  constexpr detail::Rename op[] = {{"conv", "op"}}, conv[] = {{"conv", "conv"}};
  if (down && detail::take(rest, "downsamplers.0."))
    return with(blocks + text_of(n * (i + 1)) + ".0", detail::replace_start(rest, op));
  if (!down && detail::take(rest, "upsamplers.0.")) {
    const auto level = static_cast<std::size_t>(i);
    const bool attention = level < layout.up_attention.size() && layout.up_attention[level];
    return with(blocks + text_of(n * i + n - 1) + (attention ? ".2" : ".1"), detail::replace_start(rest, conv));
  }
  return std::nullopt;
}

/// Where a single file has the parameter `name` of a ControlNetModel whose embedding has `embedding_layers` pairs of
/// convolutions between its first and its last.
inline std::optional<std::string> ldm_controlnet_name(const std::string& name, const LdmUnetLayout& layout,
                                                      std::int64_t embedding_layers) {
  using detail::text_of;
  std::string_view rest = name;
  std::int64_t i = 0;
  constexpr detail::Rename mid[] = {{"controlnet_mid_block", "middle_block_out.0"}};
  if (auto simple = detail::replace_start(rest, mid)) return simple;
  if (detail::take(rest, "controlnet_down_blocks.") && detail::take_number(rest, i))
    return "zero_convs." + text_of(i) + ".0." + std::string(rest);
  if (!detail::take(rest, "controlnet_cond_embedding.")) return ldm_unet_name(name, layout);
  const auto hint = [&](std::int64_t at) { return "input_hint_block." + text_of(at) + "." + std::string(rest); };
  if (detail::take(rest, "conv_in.")) return hint(0);
  if (detail::take(rest, "conv_out.")) return hint(2 * (2 * embedding_layers + 1));
  if (detail::take(rest, "blocks.") && detail::take_number(rest, i)) return hint(2 * (i + 1));
  return std::nullopt;
}

/// Where a single file has the parameter `name` of an AutoencoderKL of `levels` levels.
inline std::optional<std::string> ldm_autoencoder_name(const std::string& name, std::int64_t levels) {
  using detail::text_of;
  std::string_view rest = name;
  std::int64_t i = 0, j = 0;
  const bool encoder = detail::take(rest, "encoder.");
  const std::string half = encoder ? "encoder." : "decoder.";
  if (!encoder && !detail::take(rest, "decoder.")) return name;  // quant_conv, post_quant_conv
  const auto with = [&](const std::string& block, const std::optional<std::string>& tail) {
    return tail ? std::optional(half + block + "." + *tail) : std::nullopt;
  };
  constexpr detail::Rename fixed[] = {{"conv_in", "conv_in"}, {"conv_norm_out", "norm_out"}, {"conv_out", "conv_out"}};
  if (auto simple = detail::replace_start(rest, fixed)) return half + *simple;
  if (detail::take(rest, "mid_block.attentions.0.")) {
    constexpr detail::Rename attention[] = {
        {"group_norm", "norm"}, {"to_q", "q"}, {"to_k", "k"}, {"to_v", "v"}, {"to_out.0", "proj_out"}};
    return with("mid.attn_1", detail::replace_start(rest, attention));
  }
  if (detail::take(rest, "mid_block.resnets.") && detail::take_number(rest, j))
    return with("mid.block_" + text_of(j + 1), detail::ldm_vae_resnet(rest));
  if (!detail::take(rest, encoder ? "down_blocks." : "up_blocks.") || !detail::take_number(rest, i))
    return std::nullopt;
  const std::string level = encoder ? "down." + text_of(i) : "up." + text_of(levels - 1 - i);
  if (detail::take(rest, "resnets.") && detail::take_number(rest, j))
    return with(level + ".block." + text_of(j), detail::ldm_vae_resnet(rest));
  constexpr detail::Rename conv[] = {{"conv", "conv"}};
  if (detail::take(rest, encoder ? "downsamplers.0." : "upsamplers.0."))
    return with(level + (encoder ? ".downsample" : ".upsample"), detail::replace_start(rest, conv));
  return std::nullopt;
}

/// Where OpenCLIP's text encoder has the parameter `name` of a CLIPTextModelWithProjection: query, key and value are
/// thirds of one tensor, and the projection is transposed.
inline std::optional<StoredTensor> open_clip_text_name(const std::string& name) {
  constexpr detail::Rename fixed[] = {{"text_model.embeddings.token_embedding", "token_embedding"},
                                      {"text_model.final_layer_norm", "ln_final"}};
  if (auto simple = detail::replace_start(name, fixed)) return StoredTensor{*simple};
  if (name == "text_model.embeddings.position_embedding.weight") return StoredTensor{"positional_embedding"};
  if (name == "text_projection.weight") return StoredTensor{"text_projection", 0, 1, true};
  std::string_view rest = name;
  std::int64_t i = 0;
  if (!detail::take(rest, "text_model.encoder.layers.") || !detail::take_number(rest, i)) return std::nullopt;
  const std::string block = "transformer.resblocks." + detail::text_of(i) + ".";
  constexpr std::string_view fused = "qkv";
  for (int part = 0; part < 3; ++part)
    if (detail::take(rest, std::string("self_attn.") + fused[static_cast<std::size_t>(part)] + "_proj."))
      return StoredTensor{block + "attn.in_proj_" + std::string(rest), part, 3};
  constexpr detail::Rename renames[] = {{"self_attn.out_proj", "attn.out_proj"},
                                        {"layer_norm1", "ln_1"},
                                        {"layer_norm2", "ln_2"},
                                        {"mlp.fc1", "mlp.c_fc"},
                                        {"mlp.fc2", "mlp.c_proj"}};
  const auto tail = detail::replace_start(rest, renames);
  return tail ? std::optional(StoredTensor{block + *tail}) : std::nullopt;
}

}  // namespace hypersd::io::formats
