// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/io/json_fields.hpp>
#include <hypersd/nn/models/autoencoder.hpp>
#include <hypersd/nn/models/controlnet.hpp>
#include <hypersd/nn/models/text_encoder.hpp>
#include <string>
#include <vector>

/// \file
/// Configurations of diffusers and transformers (`config.json` of a component) as configurations of the networks here.
/// Absent fields have the defaults of diffusers 0.42 and transformers 5. A value that the networks here do not have is
/// refused by name; fields that no reader knows are listed.

namespace hypersd::stable_diffusion {

/// What a reader of configurations found that is worth a line for the user.
using Notes = std::vector<std::string>;

namespace detail {

inline void note_unknown(const io::JsonFields& fields, Notes& notes) {
  for (const std::string& name : fields.unknown())
    notes.push_back(io::in_quotes(fields.file()) + ": field '" + name + "' is unknown and has no effect");
}

/// Fields that a UNet and a ControlNet share; `up` says whether the network has an up path.
inline nn::UnetConfig read_unet_fields(io::JsonFields& f, bool up) {
  nn::UnetConfig c;
  f.ignore({"sample_size", "dropout", "upcast_attention", "num_class_embeds", "class_embeddings_concat",
            "encoder_hid_dim", "addition_embed_type_num_heads", "time_embedding_act_fn", "architectures"});
  f.require_one_of("act_fn", {"\"silu\"", "\"swish\""});
  f.require_one_of("mid_block_type", {"\"UNetMidBlock2DCrossAttn\""});
  f.require_one_of("downsample_padding", {"1"});
  f.require_one_of("mid_block_scale_factor", {"1", "1.0"});
  f.require_one_of("resnet_out_scale_factor", {"1", "1.0"});
  f.require_one_of("resnet_time_scale_shift", {"\"default\""});
  f.require_one_of("conv_in_kernel", {"3"});
  f.require_one_of("conv_out_kernel", {"3"});
  f.require_one_of("time_embedding_type", {"\"positional\""});
  f.require_one_of("attention_type", {"\"default\""});
  for (const char* off : {"center_input_sample", "dual_cross_attention", "resnet_skip_time_act", "only_cross_attention",
                          "mid_block_only_cross_attention"})
    f.require_one_of(off, {"false"});
  for (const char* none : {"encoder_hid_dim_type", "class_embed_type", "num_attention_heads", "timestep_post_act",
                           "cross_attention_norm", "reverse_transformer_layers_per_block"})
    f.require_one_of(none, {"null"});
  for (const char* set : {"mid_block_type", "norm_num_groups"})
    if (f.stated(set) && !f.has(set)) f.refuse(set, "not supported");

  c.in_channels = f.whole("in_channels", 4);
  c.out_channels = f.whole("out_channels", 4);
  c.block_out_channels = f.wholes("block_out_channels", {320, 640, 1280, 1280});
  const std::size_t n = c.block_out_channels.size();
  if (n == 0) f.refuse("block_out_channels", "no levels");
  const auto blocks = [&](const std::string& key, const std::string& plain, const std::string& attention, bool first) {
    std::vector<std::string> usual(n, attention);
    usual[first ? 0 : n - 1] = plain;
    std::vector<bool> out;
    const auto types = f.texts(key, usual);
    if (types.size() != n) f.refuse(key, std::to_string(n) + " entries are needed, one for each level");
    for (const std::string& type : types) {
      if (type != plain && type != attention) f.refuse(key, "only " + plain + " and " + attention + " are supported");
      out.push_back(type == attention);
    }
    return out;
  };
  c.down_attention = blocks("down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", false);
  if (up) {
    auto coarse_first = blocks("up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", true);
    c.up_attention.assign(coarse_first.rbegin(), coarse_first.rend());
  }
  const auto same = [&](const std::string& key, std::int64_t fallback) {
    const auto all = f.wholes_or_one(key, fallback, n);
    for (const std::int64_t value : all)
      if (value != all[0]) f.refuse(key, "different numbers for the levels are not supported");
    return all[0];
  };
  c.layers_per_block = same("layers_per_block", 2);
  if (c.layers_per_block > 64) f.refuse("layers_per_block", "at most 64");
  c.heads = f.wholes_or_one("attention_head_dim", 8, n);  // diffusers' name for the number of heads
  c.transformer_layers = f.wholes_or_one("transformer_layers_per_block", 1, n);
  for (const std::int64_t depth : c.transformer_layers)
    if (depth > 256) f.refuse("transformer_layers_per_block", "at most 256");
  c.cross_attention_dim = same("cross_attention_dim", 1280);
  c.use_linear_projection = f.flag("use_linear_projection", false);
  c.norm_num_groups = f.whole("norm_num_groups", 32);
  c.norm_eps = f.real("norm_eps", 1e-5);
  c.flip_sin_to_cos = f.flag("flip_sin_to_cos", true);
  c.freq_shift = f.real("freq_shift", 0);
  c.time_embedding_dim = f.whole("time_embedding_dim", 0);
  const std::int64_t half = c.block_out_channels[0] / 2;
  if (c.block_out_channels[0] % 2 != 0) f.refuse("block_out_channels", "the first width must be even");
  if (!(c.freq_shift < static_cast<double>(half))) f.refuse("freq_shift", "below half of the first width is needed");
  c.time_cond_proj_dim = f.whole("time_cond_proj_dim", 0, 4);
  f.require_one_of("addition_embed_type", {"\"text_time\""});
  const bool text_time = f.has("addition_embed_type");
  c.addition_time_embed_dim = f.whole("addition_time_embed_dim", 256);
  c.addition_embedding_dim = f.whole("projection_class_embeddings_input_dim", 0);
  if (!text_time) c.addition_embedding_dim = 0;
  if (text_time && c.addition_embedding_dim == 0)
    f.refuse("projection_class_embeddings_input_dim", "needed for addition_embed_type 'text_time'");
  for (std::size_t i = 0; i < n; ++i)
    if (c.block_out_channels[i] % c.norm_num_groups != 0) f.refuse("norm_num_groups", "does not divide all widths");
  for (std::size_t i = 0; i < n; ++i)
    if ((c.down_attention[i] || (up && c.up_attention[i]) || i + 1 == n) && c.block_out_channels[i] % c.heads[i] != 0)
      f.refuse("attention_head_dim", "the number of heads does not divide the width of its level");
  return c;
}

}  // namespace detail

/// The configuration of a UNet2DConditionModel. `config` is the content of `file`, which errors name. Throws
/// FormatError for a field of a wrong kind, out of range, or with a value that is not supported; unknown fields go to
/// `notes`.
inline nn::UnetConfig unet_config(const io::Json& config, const std::string& file, Notes& notes) {
  io::JsonFields fields(config, file);
  auto out = detail::read_unet_fields(fields, true);
  detail::note_unknown(fields, notes);
  return out;
}

/// The configuration of a ControlNetModel. Throws as `unet_config` does.
inline nn::ControlNetConfig controlnet_config(const io::Json& config, const std::string& file, Notes& notes) {
  io::JsonFields fields(config, file);
  nn::ControlNetConfig out;
  out.unet = detail::read_unet_fields(fields, false);
  out.conditioning_channels = fields.whole("conditioning_channels", 3);
  out.embedding_channels = fields.wholes("conditioning_embedding_out_channels", {16, 32, 96, 256});
  if (out.embedding_channels.empty()) fields.refuse("conditioning_embedding_out_channels", "no levels");
  fields.require_one_of("controlnet_conditioning_channel_order", {"\"rgb\""});
  fields.require_one_of("global_pool_conditions", {"false"});
  detail::note_unknown(fields, notes);
  return out;
}

/// The configuration of an AutoencoderKL. Throws as `unet_config` does.
inline nn::AutoencoderConfig autoencoder_config(const io::Json& config, const std::string& file, Notes& notes) {
  io::JsonFields f(config, file);
  f.ignore({"sample_size", "force_upcast"});
  nn::AutoencoderConfig c;
  c.in_channels = f.whole("in_channels", 3);
  c.out_channels = f.whole("out_channels", 3);
  c.latent_channels = f.whole("latent_channels", 4);
  c.block_out_channels = f.wholes("block_out_channels", {64});
  const std::size_t n = c.block_out_channels.size();
  if (n == 0 || n > 16) f.refuse("block_out_channels", "1 to 16 levels are needed");
  for (const auto& [key, type] :
       {std::pair("down_block_types", "DownEncoderBlock2D"), {"up_block_types", "UpDecoderBlock2D"}}) {
    const auto types = f.texts(key, std::vector<std::string>(n, type));
    if (types.size() != n) f.refuse(key, std::to_string(n) + " entries are needed, one for each level");
    for (const std::string& t : types)
      if (t != type) f.refuse(key, std::string("only ") + type + " is supported");
  }
  c.layers_per_block = f.whole("layers_per_block", 1, 1, 64);
  c.decoder_layers = 0;
  c.mid_block = true;
  c.mid_attention = f.flag("mid_block_add_attention", true);
  c.norm_num_groups = f.whole("norm_num_groups", 32);
  for (const std::int64_t width : c.block_out_channels)
    if (width % c.norm_num_groups != 0) f.refuse("norm_num_groups", "does not divide all widths");
  c.scaling_factor = f.real("scaling_factor", 0.18215);
  if (!(c.scaling_factor > 0)) f.refuse("scaling_factor", "a positive number is needed");
  f.require_one_of("act_fn", {"\"silu\"", "\"swish\""});
  f.require_one_of("use_quant_conv", {"true"});
  f.require_one_of("use_post_quant_conv", {"true"});
  f.require_one_of("shift_factor", {"0", "0.0"});
  for (const char* none : {"latents_mean", "latents_std"}) f.require_one_of(none, {"null"});
  detail::note_unknown(f, notes);
  return c;
}

/// The configuration of a CLIPTextModel or CLIPTextModelWithProjection (the `text_config` of a whole CLIPModel
/// included). Throws as `unet_config` does.
inline nn::TextEncoderConfig text_encoder_config(const io::Json& config, const std::string& file, Notes& notes) {
  const io::Json* inner = config.find("text_config");
  io::JsonFields f(inner != nullptr && inner->as<io::Json::Object>() != nullptr ? *inner : config, file);
  f.ignore({"attention_dropout",
            "dropout",
            "bos_token_id",
            "pad_token_id",
            "dtype",
            "torch_dtype",
            "initializer_factor",
            "initializer_range",
            "model_type",
            "transformers_version",
            "use_attention_mask",
            "tie_word_embeddings",
            "return_dict",
            "output_attentions",
            "output_hidden_states",
            "is_encoder_decoder",
            "chunk_size_feed_forward",
            "problem_type",
            "id2label",
            "label2id"});
  nn::TextEncoderConfig c;
  c.vocabulary = f.whole("vocab_size", 49408);
  c.max_length = f.whole("max_position_embeddings", 77);
  c.channels = f.whole("hidden_size", 512);
  c.layers = f.whole("num_hidden_layers", 12, 1, 1024);
  c.heads = f.whole("num_attention_heads", 8);
  if (c.channels % c.heads != 0) f.refuse("num_attention_heads", "does not divide hidden_size");
  c.mlp_channels = f.whole("intermediate_size", 2048);
  f.require_one_of("hidden_act", {"\"quick_gelu\"", "\"gelu\""});
  c.quick_gelu = f.text("hidden_act", "quick_gelu") == "quick_gelu";
  f.require_one_of("layer_norm_eps", {"1e-05"});
  const std::int64_t projection = f.whole("projection_dim", 512);
  for (const std::string& name : f.texts("architectures", {}))
    if (name == "CLIPTextModelWithProjection") c.projection_dim = projection;
  c.eos_token_id = f.whole("eos_token_id", 49407, 0);
  c.token_deviation = 0.02;
  c.position_deviation = 0.01;
  detail::note_unknown(f, notes);
  return c;
}

}  // namespace hypersd::stable_diffusion
