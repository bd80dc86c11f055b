// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/config.hpp>

#include <hypersd/nn/module.hpp>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;
using checkpoints::message;

namespace {

io::Json json(const std::string& text) { return io::Json::parse(text, "config.json"); }
nn::UnetConfig unet(const std::string& text) {
  sd::Notes notes;
  return sd::unet_config(json(text), "config.json", notes);
}
std::string refused_unet(const std::string& text) {
  return message<FormatError>([&] { unet(text); });
}

// The published config.json of the UNet and the VAE, with the fields that are not the defaults of diffusers.
const char* const sd15 = R"({"cross_attention_dim": 768, "down_block_types": ["CrossAttnDownBlock2D",
    "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"], "act_fn": "silu", "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280], "center_input_sample": false, "_diffusers_version": "0.6.0"})";
const char* const sd21 = R"({"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": true, "upcast_attention": true, "dual_cross_attention": false})";
const char* const sdxl = R"({"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20], "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "use_linear_projection": true,
    "mid_block_type": "UNetMidBlock2DCrossAttn", "num_attention_heads": null})";

template <class M>
nn::ParameterCount count(const M& net) {
  return nn::count_parameters(net);
}

}  // namespace

TEST_CASE("config: full-size networks of SD1.5, SD2.1 and SDXL from their configurations, without memory for them") {
  sd::Notes notes;
  CHECK(count(nn::Unet<float>(unet(sd15))) == nn::ParameterCount{859520964, 686});
  CHECK(count(nn::Unet<float>(unet(sd21))) == nn::ParameterCount{865910724, 686});
  CHECK(count(nn::Unet<float>(unet(sdxl))) == nn::ParameterCount{2567463684, 1680});
  const auto vae = sd::autoencoder_config(
      json(R"({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "sample_size": 512})"), "c", notes);
  CHECK(vae.scaling_factor == 0.18215);
  CHECK(count(nn::Autoencoder<float>(vae)) == nn::ParameterCount{83653863, 248});
  const auto clip = sd::text_encoder_config(
      json(R"({"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "projection_dim": 768,
               "architectures": ["CLIPTextModel"]})"),
      "c", notes);
  CHECK(count(nn::TextEncoder<float>(clip)) == nn::ParameterCount{123060480, 196});
  CHECK(clip.quick_gelu);
  const auto big = sd::text_encoder_config(
      json(R"({"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 20, "num_hidden_layers": 32,
               "projection_dim": 1280, "hidden_act": "gelu", "architectures": ["CLIPTextModelWithProjection"]})"),
      "c", notes);
  CHECK(count(nn::TextEncoder<float>(big)) == nn::ParameterCount{694659840, 517});
  CHECK_FALSE(big.quick_gelu);
  CHECK(count(nn::ControlNet<float>(sd::controlnet_config(json(sd15), "c", notes))) ==
        nn::ParameterCount{361279120, 340});
  CHECK(count(nn::ControlNet<float>(sd::controlnet_config(json(sdxl), "c", notes))).tensors == 844);
  CHECK(notes == sd::Notes{"'c': field 'up_block_types' is unknown and has no effect"});
}

TEST_CASE("config: a guided student (LCM) has an input for the guidance weight") {
  CHECK(unet(R"({"time_cond_proj_dim": 256})").time_cond_proj_dim == 256);
  CHECK(unet("{}").time_cond_proj_dim == 0);
}

TEST_CASE("config: values that the networks do not have are refused by name, unknown fields are listed") {
  CHECK(refused_unet(R"({"act_fn": "gelu"})") ==
        "'config.json': 'act_fn' is \"gelu\": not supported, only \"silu\" or \"swish\"");
  for (const char* text : {R"({"class_embed_type": "timestep"})",
                           R"({"mid_block_type": null})",
                           R"({"norm_num_groups": null})",
                           R"({"addition_embed_type": "image"})",
                           R"({"addition_embed_type": "text_time"})",
                           R"({"norm_num_groups": 7})",
                           R"({"down_block_types": ["AttnDownBlock2D"]})",
                           R"({"block_out_channels": []})",
                           R"({"in_channels": 0})",
                           R"({"block_out_channels": [320, -1]})",
                           R"({"layers_per_block": [1, 2, 2, 2]})",
                           R"({"layers_per_block": 65})",
                           R"({"transformer_layers_per_block": [[1], [2]]})",
                           R"({"attention_head_dim": [8, 8]})",
                           R"({"num_attention_heads": 8})",
                           R"({"attention_head_dim": 7})",
                           R"({"resnet_time_scale_shift": "scale_shift"})",
                           R"({"time_cond_proj_dim": "256"})",
                           R"({"encoder_hid_dim_type": "text_proj"})",
                           R"({"norm_eps": "x"})",
                           R"({"freq_shift": 160})",
                           R"({"time_cond_proj_dim": 3})",
                           R"({"block_out_channels": [5], "norm_num_groups": 5, "attention_head_dim": 1,
            "down_block_types": ["DownBlock2D"], "up_block_types": ["UpBlock2D"]})"}) {
    const std::string refusal = refused_unet(text);
    CHECK_MESSAGE(refusal.find("'config.json': '") == 0, text << " -> " << refusal);
  }
  sd::Notes notes;
  CHECK(sd::unet_config(json(R"({"colour": 1, "_comment": 2, "dropout": 0.1})"), "f", notes).layers_per_block == 2);
  CHECK(notes == sd::Notes{"'f': field 'colour' is unknown and has no effect"});

  const auto vae = [&](const char* text) {
    return message<FormatError>([&] { sd::autoencoder_config(json(text), "f", notes); });
  };
  CHECK(vae(R"({"down_block_types": ["AttnDownEncoderBlock2D"]})").find("'down_block_types'") != std::string::npos);
  CHECK(vae(R"({"latents_mean": [1, 2]})").find("'latents_mean'") != std::string::npos);
  CHECK(vae(R"({"scaling_factor": 0})").find("'scaling_factor'") != std::string::npos);
  const auto text_encoder = [&](const char* text) {
    return message<FormatError>([&] { sd::text_encoder_config(json(text), "f", notes); });
  };
  CHECK(text_encoder(R"({"hidden_act": "relu"})").find("'hidden_act'") != std::string::npos);
  CHECK(text_encoder(R"({"num_attention_heads": 7})").find("'num_attention_heads'") != std::string::npos);
  CHECK(text_encoder(R"({"num_hidden_layers": 100000})").find("'num_hidden_layers'") != std::string::npos);
  CHECK(message<FormatError>([&] {
          sd::controlnet_config(json(R"({"controlnet_conditioning_channel_order": "bgr"})"), "f", notes);
        }).find("'controlnet_conditioning_channel_order'") != std::string::npos);
}
