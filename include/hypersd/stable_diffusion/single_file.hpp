// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <filesystem>
#include <hypersd/io/formats/ldm_names.hpp>
#include <hypersd/stable_diffusion/folder.hpp>
#include <string>
#include <vector>

namespace hypersd::stable_diffusion {

namespace detail {

/// Configurations of the published models, in the words of diffusers. SD2's text encoder has 23 of its 24 layers.
struct PublishedConfigs {
  const char *unet, *vae, *text_encoder, *text_encoder_2, *scheduler;
};
inline PublishedConfigs published_configs(Family family) {
  constexpr const char* vae = R"({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]})";
  constexpr const char* clip_large = R"({"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
    "num_hidden_layers": 12, "hidden_act": "quick_gelu", "eos_token_id": 2, "architectures": ["CLIPTextModel"]})";
  if (family == Family::sdxl)
    return {R"({"addition_embed_type": "text_time", "addition_time_embed_dim": 256, "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048, "sample_size": 128,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "use_linear_projection": true,
    "projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2, 10]})",
            R"({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "scaling_factor": 0.13025,
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]})",
            clip_large,
            R"({"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32,
    "hidden_act": "gelu", "projection_dim": 1280, "eos_token_id": 2, "architectures": ["CLIPTextModelWithProjection"]})",
            R"({"_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "prediction_type": "epsilon", "steps_offset": 1,
    "set_alpha_to_one": false, "clip_sample": false, "timestep_spacing": "leading", "interpolation_type": "linear",
    "use_karras_sigmas": false})"};
  if (family == Family::sd21)
    return {R"({"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": true,
    "sample_size": 96, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2})",
            vae,
            R"({"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16, "num_hidden_layers": 23,
    "hidden_act": "gelu", "eos_token_id": 2, "architectures": ["CLIPTextModel"]})",
            "",
            R"({"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "prediction_type": "v_prediction",
    "steps_offset": 1, "set_alpha_to_one": false, "clip_sample": false})"};
  return {R"({"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2})",
          vae, clip_large, "",
          R"({"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "prediction_type": "epsilon", "steps_offset": 1,
    "set_alpha_to_one": false, "clip_sample": false, "skip_prk_steps": true, "trained_betas": null})"};
}

/// Names of all parameters of a network.
template <nn::Module M>
std::vector<std::string> parameter_names(M& net) {
  std::vector<std::string> names;
  auto collect = [&](const std::string& name, auto&) { names.push_back(name); };
  nn::visit_parameters(net, collect);
  return names;
}

inline io::formats::LdmUnetLayout ldm_layout(const nn::UnetConfig& config, bool up) {
  io::formats::LdmUnetLayout layout{config.layers_per_block, {}};
  for (std::size_t level = config.levels(); up && level-- > 0;)
    layout.up_attention.push_back(config.attention_up(level));
  return layout;
}

/// `where` of TensorTable::mapped for functions that give a name only.
template <class F>
auto whole_tensor(F name_of) {
  return [name_of](const std::string& name) {
    const std::optional<std::string> stored = name_of(name);
    return stored ? std::optional(io::formats::StoredTensor{*stored}) : std::nullopt;
  };
}

/// Loads a UNet whose tensors have the names of a single file or those of diffusers.
template <Scalar T, Device D>
void load_ldm_unet(nn::Unet<T, D>& net, const io::formats::TensorTable& table, const std::string& label) {
  if (table.contains("conv_in.weight")) return load_weights(net, table, label);
  const auto layout = ldm_layout(net.config(), true);
  const auto name_of = [&](const std::string& name) { return io::formats::ldm_unet_name(name, layout); };
  load_weights(net, table.mapped(parameter_names(net), whole_tensor(name_of)), label);
}
template <Scalar T, Device D>
void load_ldm_autoencoder(nn::Autoencoder<T, D>& net, const io::formats::TensorTable& table, const std::string& label) {
  const auto levels = static_cast<std::int64_t>(net.config.block_out_channels.size());
  const auto name_of = [&](const std::string& name) { return io::formats::ldm_autoencoder_name(name, levels); };
  // Training leaves the discriminator of the VAE's loss behind.
  const auto own = table.renamed([](const std::string& name) {
    return name.starts_with("loss.") || name.starts_with("model_ema.") ? std::nullopt : std::optional(name);
  });
  load_weights(net, own.mapped(parameter_names(net), whole_tensor(name_of)), label);
}
/// Loads a text encoder with OpenCLIP's names. Layers and a projection that the configuration does not have are left
/// out: SD2 uses all layers but the last.
template <Scalar T, Device D>
void load_open_clip(nn::TextEncoder<T, D>& net, const io::formats::TensorTable& table, const std::string& label) {
  const auto used = table.renamed([&](const std::string& name) -> std::optional<std::string> {
    std::string_view rest = name;
    std::int64_t layer = 0;
    if (name == "logit_scale" || (name == "text_projection" && !net.text_projection)) return std::nullopt;
    if (name.ends_with("position_ids") || name == "attn_mask") return std::nullopt;
    if (io::formats::detail::take(rest, "transformer.resblocks.") && io::formats::detail::take_number(rest, layer) &&
        layer >= net.config.layers)
      return std::nullopt;
    return name;
  });
  load_weights(net, used.mapped(parameter_names(net), io::formats::open_clip_text_name), label);
}

/// Which prefix the tensors of the UNet have; nothing if the file has no UNet.
inline std::optional<std::string> unet_prefix(const io::formats::TensorTable& all) {
  for (const char* prefix : {"model.diffusion_model.", "diffusion_model.", "unet.", ""})
    for (const char* first : {"input_blocks.0.0.weight", "conv_in.weight"})
      if (all.contains(std::string(prefix) + first) && !all.contains("controlnet_mid_block.weight")) return prefix;
  return std::nullopt;
}
inline Family single_file_family(const io::formats::TensorTable& all, const io::formats::TensorTable& unet) {
  for (const char* name : {"label_emb.0.0.weight", "add_embedding.linear_1.weight"})
    if (unet.contains(name)) return Family::sdxl;
  if (!all.with_prefix("conditioner.embedders.1.").names().empty()) return Family::sdxl;
  for (const char* name : {"input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
                           "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"})
    if (unet.contains(name)) return unet.shape(name)[1] == 1024 ? Family::sd21 : Family::sd15;
  return all.with_prefix("cond_stage_model.model.").names().empty() ? Family::sd15 : Family::sd21;
}

/// The configuration of a component: from the folder that the user named, else the published one.
inline ComponentConfig config_of(const std::string& folder, const std::string& component, const char* published) {
  const std::string path = folder + "/" + component;
  if (!folder.empty()) return ComponentConfig::read(path);
  return ComponentConfig{"published " + component, io::Json::parse(published, component)};
}

/// The scheduler of the configuration folder or of the published model; tensors and metadata that say how the model was
/// trained come first.
inline io::Json single_file_scheduler(const io::formats::TensorTable& all, const std::string& folder, Family family,
                                      Notes& notes) {
  const std::string file = folder + "/scheduler/scheduler_config.json";
  const bool given = !folder.empty() && std::filesystem::exists(file);
  io::Json scheduler =
      given ? read_scheduler_json(file) : io::Json::parse(published_configs(family).scheduler, "scheduler");
  io::Json::Object fields = *scheduler.as<io::Json::Object>();
  const auto set = [&](const std::string& key, io::Json value) {
    std::erase_if(fields, [&](const auto& member) { return member.first == key; });
    fields.emplace_back(key, std::move(value));
  };
  const auto& metadata = all.metadata(all.names().front());
  const auto stated = metadata.find("modelspec.prediction_type");
  const bool velocity = all.contains("v_pred") || (stated != metadata.end() && stated->second.starts_with("v"));
  const bool epsilon = stated != metadata.end() && stated->second.starts_with("eps");
  if (velocity) set("prediction_type", io::Json(std::string("v_prediction")));
  if (epsilon) set("prediction_type", io::Json(std::string("epsilon")));
  if (all.contains("ztsnr")) set("rescale_betas_zero_snr", io::Json(true));
  if (family == Family::sd21 && !given && !velocity && !epsilon)
    notes.push_back(
        "the file does not say whether this SD 2 model predicts velocity (768 px) or noise (512 px base): velocity is "
        "assumed, a configuration folder decides otherwise");
  return io::Json(std::move(fields));
}

/// A note about the tensors that no component has; what training leaves behind is not worth one.
inline void note_leftovers(const io::formats::TensorTable& all, const std::vector<std::string>& prefixes,
                           const std::string& path, Notes& notes) {
  std::vector<std::string> rest;
  for (const std::string& name : all.names()) {
    const auto begins = [&](const auto& start) { return name.starts_with(start); };
    constexpr const char* known[] = {"model_ema.",
                                     "betas",
                                     "alphas_cumprod",
                                     "sqrt_",
                                     "posterior_",
                                     "log_one_minus_",
                                     "logvar",
                                     "denoiser.",
                                     "v_pred",
                                     "ztsnr",
                                     "cond_stage_model.logit_scale",
                                     "scale_factor"};
    if (std::none_of(prefixes.begin(), prefixes.end(), begins) &&
        std::none_of(std::begin(known), std::end(known), begins))
      rest.push_back(name);
  }
  if (!rest.empty())
    notes.push_back(io::in_quotes(path) + ": " + std::to_string(rest.size()) +
                    " tensors are not used: " + nn::detail::first_names(rest));
}

}  // namespace detail

/// Loads a checkpoint in one safetensors file: the UNet, VAE and text encoders of SD 1.x, SD 2.x or SDXL under the
/// names of CompVis and Stability-AI, or a UNet alone. `options.config_folder`, a model folder, gives the
/// configurations, tokenizers and scheduler; without it they are those of the published models, and there are no
/// tokenizers. A part that the file lacks is loaded from that folder. Throws IoError, FormatError as `load_folder`
/// does.
template <Scalar T, Device D = Cpu>
Model<T, D> load_single_file(const std::string& path, const LoadOptions& options = {}) {
  const auto all =
      detail::open_for<T, D>(options, [&](io::Access access) { return io::formats::TensorTable(path, access); });
  const std::string& folder = options.config_folder;
  const auto prefix = detail::unet_prefix(all);
  require<FormatError>(prefix.has_value(), io::in_quotes(path), ": no UNet of Stable Diffusion in its ", all.size(),
                       " tensors");
  const auto unet = all.with_prefix(*prefix);
  const Family family = detail::single_file_family(all, unet);
  const auto published = detail::published_configs(family);
  Model<T, D> model;
  model.path = path;
  std::vector<std::string> used{*prefix};
  // What the file lacks comes from the folder.
  const auto missing = [&](const std::string& component) {
    require<FormatError>(!folder.empty(), io::in_quotes(path), " has no ", component,
                         ": name a model folder that has one as LoadOptions::config_folder");
  };
  {
    const auto config = detail::config_of(folder, "unet", published.unet);
    const auto sizes = unet_config(config.json, config.file, model.notes);
    model.family = family_of(sizes);
    require<FormatError>((family == Family::sdxl) == (model.family == Family::sdxl), io::in_quotes(path), " is of ",
                         family_name(family), ", but ", io::in_quotes(config.file), " is of ",
                         family_name(model.family));
    model.unet = nn::Unet<T, D>(sizes);
    model.sample_size = detail::read_sample_size(config, family == Family::sdxl ? 128 : 64);
    detail::load_ldm_unet(model.unet, unet, path + ": UNet");
  }
  if (const auto vae = all.with_prefix("first_stage_model."); vae.size() > 0) {
    const auto config = detail::config_of(folder, "vae", published.vae);
    model.vae = nn::Autoencoder<T, D>(autoencoder_config(config.json, config.file, model.notes));
    model.force_upcast = io::JsonFields(config.json, config.file).flag("force_upcast", true);
    detail::load_ldm_autoencoder(model.vae, vae, path + ": VAE");
    used.emplace_back("first_stage_model.");
  } else {
    missing("VAE");
    detail::load_vae(model, folder, options);
  }
  const std::size_t encoders = family == Family::sdxl ? 2 : 1;
  for (std::size_t i = 0; i < encoders; ++i) {
    const std::string start =
        family == Family::sdxl ? "conditioner.embedders." + std::to_string(i) + "." : "cond_stage_model.";
    const std::string component = i == 0 ? "text_encoder" : "text_encoder_2";
    const auto clip = all.with_prefix(start + "transformer."), open_clip = all.with_prefix(start + "model.");
    const std::string tokenizer = folder + (i == 0 ? "/tokenizer" : "/tokenizer_2");
    model.tokenizers.push_back(!folder.empty() && std::filesystem::is_directory(tokenizer) ? tokenizer : "");
    if (clip.size() + open_clip.size() == 0) {
      missing(component);
      model.text_encoders.push_back(detail::load_text_encoder<T, D>(folder + "/" + component, options, model.notes));
      continue;
    }
    const auto config =
        detail::config_of(folder, component, i == 0 ? published.text_encoder : published.text_encoder_2);
    nn::TextEncoder<T, D> net(text_encoder_config(config.json, config.file, model.notes));
    if (clip.size() > 0)
      detail::load_weights(net, clip.renamed(io::formats::text_encoder_name), path + ": " + component);
    else
      detail::load_open_clip(net, open_clip, path + ": " + component);
    model.text_encoders.push_back(std::move(net));
    used.push_back(start);
  }
  model.scheduler = detail::single_file_scheduler(all, folder, family, model.notes);
  if (!prefix->empty()) detail::note_leftovers(all, used, path, model.notes);
  return model;
}

/// Loads a ControlNet in one file, under the names of lllyasviel's ControlNet or of diffusers. `options.config_folder`
/// has its `config.json`; without it the configuration is that of SD 1.5, SD 2.1 or SDXL by the sizes in the file.
template <Scalar T, Device D = Cpu>
nn::ControlNet<T, D> load_controlnet_file(const std::string& path, const LoadOptions& options = {},
                                          Notes* notes = nullptr) {
  Notes own;
  const auto all =
      detail::open_for<T, D>(options, [&](io::Access access) { return io::formats::TensorTable(path, access); });
  const auto inner = all.with_prefix("control_model.");
  const io::formats::TensorTable& table = inner.size() > 0 ? inner : all;
  const bool ldm = table.contains("input_hint_block.0.weight");
  require<FormatError>(ldm || table.contains("controlnet_mid_block.weight"), io::in_quotes(path),
                       ": no ControlNet in its ", all.size(), " tensors");
  const Family family = detail::single_file_family(all, table);
  auto config = options.config_folder.empty()
                    ? detail::ComponentConfig{"published ControlNet",
                                              io::Json::parse(detail::published_configs(family).unet, "unet")}
                    : detail::ComponentConfig::read(options.config_folder);
  if (options.config_folder.empty()) {
    auto fields = *config.json.as<io::Json::Object>();
    std::erase_if(fields, [](const auto& member) { return member.first == "up_block_types"; });
    config.json = io::Json(std::move(fields));
  }
  nn::ControlNet<T, D> net(controlnet_config(config.json, config.file, notes != nullptr ? *notes : own));
  if (!ldm) {
    detail::load_weights(net, table, path);
    return net;
  }
  const auto layout = detail::ldm_layout(net.encoder.config, false);
  const auto pairs = static_cast<std::int64_t>(net.controlnet_cond_embedding.blocks.size()) / 2;
  const auto name_of = [&](const std::string& name) { return io::formats::ldm_controlnet_name(name, layout, pairs); };
  detail::load_weights(net, table.mapped(detail::parameter_names(net), detail::whole_tensor(name_of)), path);
  return net;
}

}  // namespace hypersd::stable_diffusion
