// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/nn/models/dit.hpp>
#include <hypersd/nn/models/mmdit.hpp>
#include <hypersd/nn/models/pixart.hpp>
#include <hypersd/stable_diffusion/config.hpp>

/// \file
/// Configurations of diffusers' diffusion transformers (`config.json`) as configurations of the networks here, under
/// the rules of stable_diffusion/config.hpp.

namespace hypersd::stable_diffusion {

namespace detail {

/// Fields that all three have.
template <class Config>
void read_transformer_fields(io::JsonFields& f, Config& c, std::int64_t sample_size, std::int64_t layers) {
  c.in_channels = f.whole("in_channels", c.in_channels);
  c.layers = f.whole("num_layers", layers, 1, 1024);
  c.sample_size = f.whole("sample_size", sample_size, 1, 65536);
  c.patch_size = f.whole("patch_size", 2);
  if (c.sample_size < c.patch_size) f.refuse("patch_size", "larger than sample_size");
  if (c.channels() % 4 != 0) f.refuse("attention_head_dim", "heads times this number must be divisible by 4");
}

/// Fields of DiT and PixArt.
template <class Config>
void read_patch_transformer_fields(io::JsonFields& f, Config& c, double norm_eps) {
  f.ignore({"dropout", "norm_num_groups", "upcast_attention"});
  f.require_one_of("activation_fn", {"\"gelu-approximate\""});
  f.require_one_of("attention_type", {"\"default\""});
  for (const char* off :
       {"norm_elementwise_affine", "only_cross_attention", "use_linear_projection", "double_self_attention"})
    f.require_one_of(off, {"false"});
  f.require_one_of("num_vector_embeds", {"null"});
  c.heads = f.whole("num_attention_heads", 16);
  c.head_dim = f.whole("attention_head_dim", 72);
  c.attention_bias = f.flag("attention_bias", true);
  c.norm_eps = f.real("norm_eps", norm_eps);
}
template <class Config>
void read_out_channels(io::JsonFields& f, Config& c, std::int64_t fallback) {
  c.out_channels = f.stated("out_channels") ? f.whole("out_channels", c.in_channels) : fallback;
  if (c.out_channels != c.in_channels && c.out_channels != 2 * c.in_channels)
    f.refuse("out_channels", "in_channels or twice as many are needed");
}

}  // namespace detail

/// The configuration of a DiTTransformer2DModel (Transformer2DModel in older files). Throws as `unet_config` does.
inline nn::DitConfig dit_config(const io::Json& config, const std::string& file, Notes& notes) {
  io::JsonFields f(config, file);
  nn::DitConfig c;
  f.require_one_of("_class_name", {"\"DiTTransformer2DModel\"", "\"Transformer2DModel\""});
  detail::read_patch_transformer_fields(f, c, 1e-5);
  detail::read_transformer_fields(f, c, 32, 28);
  detail::read_out_channels(f, c, c.in_channels);
  f.require_one_of("norm_type", {"\"ada_norm_zero\""});
  f.require_one_of("cross_attention_dim", {"null"});
  f.require_one_of("caption_channels", {"null"});
  c.classes = f.whole("num_embeds_ada_norm", 1000);
  detail::note_unknown(f, notes);
  return c;
}

/// The configuration of a PixArtTransformer2DModel (Transformer2DModel in older files). Throws as `unet_config` does.
inline nn::PixArtConfig pixart_config(const io::Json& config, const std::string& file, Notes& notes) {
  io::JsonFields f(config, file);
  nn::PixArtConfig c;
  f.require_one_of("_class_name", {"\"PixArtTransformer2DModel\"", "\"Transformer2DModel\""});
  detail::read_patch_transformer_fields(f, c, 1e-6);
  detail::read_transformer_fields(f, c, 128, 28);
  detail::read_out_channels(f, c, 8);
  f.ignore({"num_embeds_ada_norm"});
  f.require_one_of("norm_type", {"\"ada_norm_single\""});
  c.interpolation_scale =
      f.real("interpolation_scale", static_cast<double>(std::max<std::int64_t>(1, c.sample_size / 64)));
  if (!(c.interpolation_scale > 0)) f.refuse("interpolation_scale", "a positive number is needed");
  c.size_conditions = f.flag("use_additional_conditions", c.sample_size == 128);
  if (c.size_conditions && c.channels() % 3 != 0)
    f.refuse("use_additional_conditions", "needs a width (heads times head dimension) that 3 divides");
  const std::int64_t attended = f.whole("cross_attention_dim", 1152);
  c.caption_projection = f.has("caption_channels");
  c.text_channels = f.whole("caption_channels", attended);
  if (c.caption_projection && attended != c.channels())
    f.refuse("cross_attention_dim",
             "the width of " + std::to_string(c.channels()) + " channels, to which captions are projected, is needed");
  detail::note_unknown(f, notes);
  return c;
}

/// The configuration of an SD3Transformer2DModel. Throws as `unet_config` does.
inline nn::MmDitConfig mmdit_config(const io::Json& config, const std::string& file, Notes& notes) {
  io::JsonFields f(config, file);
  nn::MmDitConfig c;
  f.require_one_of("_class_name", {"\"SD3Transformer2DModel\""});
  c.in_channels = 16;
  c.heads = f.whole("num_attention_heads", 18);
  c.head_dim = f.whole("attention_head_dim", 64);
  detail::read_transformer_fields(f, c, 128, 18);
  c.out_channels = f.stated("out_channels") ? f.whole("out_channels", c.in_channels) : 16;
  if (c.out_channels != c.in_channels) f.refuse("out_channels", "as many as in_channels are needed");
  c.text_channels = f.whole("joint_attention_dim", 4096);
  c.pooled_channels = f.whole("pooled_projection_dim", 2048);
  if (f.whole("caption_projection_dim", 1152) != c.channels())
    f.refuse("caption_projection_dim", "the width of " + std::to_string(c.channels()) + " channels is needed");
  c.pos_embed_max_size = f.whole("pos_embed_max_size", 96, 1, 65536);
  if (c.pos_embed_max_size < c.sample_size / c.patch_size)
    f.refuse("pos_embed_max_size", "smaller than sample_size in patches");
  f.require_one_of("qk_norm", {"\"rms_norm\""});
  c.qk_norm = f.has("qk_norm");
  c.dual_attention_layers = f.wholes("dual_attention_layers", {}, 0, c.layers - 1);
  for (std::size_t i = 1; i < c.dual_attention_layers.size(); ++i)
    if (c.dual_attention_layers[i] <= c.dual_attention_layers[i - 1])
      f.refuse("dual_attention_layers", "increasing numbers are needed");
  detail::note_unknown(f, notes);
  return c;
}

}  // namespace hypersd::stable_diffusion
