// SPDX-License-Identifier: Apache-2.0
#include <hypersd/io/formats/lora_names.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
namespace formats = hypersd::io::formats;
using formats::LoraPart;

namespace {

void check(const std::string& tensor, const std::string& component, const std::string& layer, LoraPart part,
           const std::string& method = "") {
  CAPTURE(tensor);
  const auto key = formats::parse_lora_key(tensor);
  CHECK(key.component == component);
  CHECK(key.layer == layer);
  CHECK(key.part == part);
  CHECK(key.method == method);
}
formats::PeftScales scales(const std::string& text) {
  return {io::Json::parse(text, "adapter_config.json"), "adapter_config.json"};
}

}  // namespace

TEST_CASE("lora names: component, layer and part of every spelling") {
  check("lora_unet_mid_block_resnets_0_conv1.lora_down.weight", "unet", "mid_block_resnets_0_conv1", LoraPart::down);
  check("lora_te_text_model_a.lora_up.weight", "text_encoder", "text_model_a", LoraPart::up);
  check("lora_te1_text_model_a.alpha", "text_encoder", "text_model_a", LoraPart::alpha);
  check("lora_te2_text_model_a.alpha", "text_encoder_2", "text_model_a", LoraPart::alpha);
  check("unet.a.to_q.lora_A.weight", "unet", "a.to_q", LoraPart::down);
  check("text_encoder_2.a.lora_B.other.weight", "text_encoder_2", "a", LoraPart::up);
  check("base_model.model.a.to_out.0.lora_B.weight", "", "a.to_out.0", LoraPart::up);
  check("unet.a.lora.down.weight", "unet", "a", LoraPart::down);
  check("text_encoder.a.q_proj.lora_linear_layer.up.weight", "text_encoder", "a.q_proj", LoraPart::up);
  check("unet.a.attn1.processor.to_out_lora.down.weight", "unet", "a.attn1.to_out.0", LoraPart::down);
  check("a.attn1.processor.to_k_lora.up.weight", "", "a.attn1.to_k", LoraPart::up);
  check("text_encoder.a.self_attn.to_q_lora.down.weight", "text_encoder", "a.self_attn.q_proj", LoraPart::down);
  check("text_encoder.a.self_attn.to_out_lora.up.weight", "text_encoder", "a.self_attn.out_proj", LoraPart::up);
  check("lora_unet_a.dora_scale", "unet", "a", LoraPart::other, "DoRA");
  check("unet.a.lora_magnitude_vector.default.weight", "unet", "a", LoraPart::other, "DoRA");
  check("lora_unet_a.hada_w2_b", "unet", "a", LoraPart::other, "LoHa");
  check("lora_unet_a.lokr_t2", "unet", "a", LoraPart::other, "LoKr");
  check("emb_params", "", "emb_params", LoraPart::other);
  check("_lora.down.weight", "", ".", LoraPart::down);
}

TEST_CASE("lora names: layers are found by diffusers' names and by those of a single file") {
  const formats::LayerNames unet(
      {"down_blocks.0.resnets.0.time_emb_proj", "up_blocks.0.upsamplers.0.conv", "mid_block.attentions.0.proj_in"},
      {2, {true, false}});
  for (const char* name : {"down_blocks.0.resnets.0.time_emb_proj", "down_blocks_0_resnets_0_time_emb_proj",
                           "input_blocks.1.0.emb_layers.1", "input_blocks_1_0_emb_layers_1"})
    CHECK(unet.find(name) == std::optional<std::string>("down_blocks.0.resnets.0.time_emb_proj"));
  CHECK(unet.find("output_blocks_2_2_conv") == std::optional<std::string>("up_blocks.0.upsamplers.0.conv"));
  CHECK_FALSE(unet.find("output_blocks_2_1_conv").has_value());
  const auto text = formats::LayerNames::of_text_encoder({"text_model.encoder.layers.0.mlp.fc1"});
  CHECK(text.find("encoder.layers.0.mlp.fc1").has_value());
  CHECK(text.find("text_model_encoder_layers_0_mlp_fc1").has_value());
}

TEST_CASE("lora names: alpha of peft's configuration by layer, rank-stabilised or not") {
  const auto plain = scales(R"({"lora_alpha": 8, "alpha_pattern": {"to_q": 2, "^a.to_v": 3}})");
  CHECK(*plain.alpha("a.to_k", 4) == 8);
  CHECK(*plain.alpha("a.to_q", 4) == 2);
  CHECK(*plain.alpha("a.into_q", 4) == 8);
  CHECK(*plain.alpha("a.to_v", 4) == 3);
  CHECK(*plain.alpha("b.a.to_v", 4) == 8);
  CHECK_FALSE(scales("{}").alpha("a", 4).has_value());
  CHECK(*scales(R"({"lora_alpha": 8, "use_rslora": true})").alpha("a", 4) / 4 == doctest::Approx(8 / std::sqrt(4.0)));
  for (const char* text :
       {R"({"use_dora": true})", R"({"peft_type": "LOHA"})", R"({"lora_bias": true})", R"({"bias": "all"})",
        R"({"fan_in_fan_out": true})", R"({"lora_alpha": "8"})", R"({"alpha_pattern": {"to_[qk]" : 2}
})",
        R"({"alpha_pattern": {"to_q": "2"}})", "[]"})
    CHECK_THROWS_WITH_AS(scales(text), doctest::Contains("adapter_config.json"), FormatError);
}
