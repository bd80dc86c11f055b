// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/load_transformer.hpp>

#include <hypersd/io/safetensors_writer.hpp>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;
using checkpoints::message;

namespace {

io::Json json(const std::string& text) { return io::Json::parse(text, "config.json"); }

// What `save_pretrained` of diffusers 0.42 writes for the networks of tests/golden/golden_transformers.py.
const char* const dit = R"({"_class_name": "DiTTransformer2DModel", "_diffusers_version": "0.42.1",
    "activation_fn": "gelu-approximate", "attention_bias": true, "attention_head_dim": 8, "dropout": 0.0,
    "in_channels": 4, "norm_elementwise_affine": false, "norm_eps": 1e-05, "norm_num_groups": 32,
    "norm_type": "ada_norm_zero", "num_attention_heads": 2, "num_embeds_ada_norm": 10, "num_layers": 2,
    "out_channels": 8, "patch_size": 2, "sample_size": 8, "upcast_attention": false})";
const char* const pixart = R"({"_class_name": "PixArtTransformer2DModel", "_diffusers_version": "0.42.1",
    "activation_fn": "gelu-approximate", "attention_bias": true, "attention_head_dim": 12, "attention_type": "default",
    "caption_channels": 10, "cross_attention_dim": 24, "dropout": 0.0, "in_channels": 4, "interpolation_scale": null,
    "norm_elementwise_affine": false, "norm_eps": 1e-06, "norm_num_groups": 32, "norm_type": "ada_norm_single",
    "num_attention_heads": 2, "num_embeds_ada_norm": 1000, "num_layers": 2, "out_channels": 8, "patch_size": 2,
    "sample_size": 8, "upcast_attention": false, "use_additional_conditions": true})";
const char* const sd35 = R"({"_class_name": "SD3Transformer2DModel", "_diffusers_version": "0.42.1",
    "attention_head_dim": 8, "caption_projection_dim": 16, "dual_attention_layers": [0], "in_channels": 4,
    "joint_attention_dim": 10, "num_attention_heads": 2, "num_layers": 2, "out_channels": 4, "patch_size": 2,
    "pooled_projection_dim": 12, "pos_embed_max_size": 6, "qk_norm": "rms_norm", "sample_size": 8})";

/// A model folder with the weights of a golden file.
class Saved {
 public:
  Saved(const std::string& name, const std::string& config)
      : values_(std::string(HYPERSD_TEST_DATA) + "/" + name + ".safetensors") {
    io::SafetensorsWriter writer;
    for (const std::string& key : values_.names())
      if (key.rfind("param.", 0) == 0) writer.add(key.substr(6), values_.get<float>(key));
    writer.write(folder_ / "diffusion_pytorch_model.safetensors");
    io::atomic_write(folder_ / "config.json", config);
  }
  [[nodiscard]] std::string path() const { return folder_.path(); }
  [[nodiscard]] Tensor<float> get(const std::string& name) const {
    return values_.get<float>(name, io::Convert::AnyNumber);
  }
  [[nodiscard]] Var<float> image(const std::string& name) const { return Var<float>(ops::nchw_to_nhwc(get(name))); }
  /// Largest distance of `got` from the result of diffusers, in parts of its largest number.
  [[nodiscard]] double difference(const Tensor<float>& got) const {
    return checkpoints::difference(got, image("out").value());
  }

 private:
  test::TempFolder folder_;
  io::SafetensorsFile values_;
};

template <class Read>
auto read(Read&& reader, const std::string& text) {
  sd::Notes notes;
  return reader(json(text), "config.json", notes);
}

/// The error for a configuration in which `from` is replaced by `to`.
template <class Read>
std::string refused(Read&& reader, std::string text, const std::string& from, const std::string& to) {
  REQUIRE(text.find(from) != std::string::npos);
  text.replace(text.find(from), from.size(), to);
  return message<FormatError>([&] { read(reader, text); });
}

}  // namespace

TEST_CASE("transformers: folders of diffusers load and predict as diffusers does") {
  {
    const Saved saved("dit", dit);
    const auto net = sd::load_dit<float>(saved.path());
    const autograd::NoGrad guard;
    const auto labels = ops::map([](float v) { return static_cast<std::int32_t>(v); }, saved.get("in.labels"));
    CHECK(saved.difference(net.with_variance(saved.image("in.x"), saved.get("in.t"), labels).value()) < 1e-4);
  }
  {
    const Saved saved("pixart", pixart);
    const auto net = sd::load_pixart<float>(saved.path());
    const autograd::NoGrad guard;
    const auto sizes = ops::concat_last(saved.get("in.resolution"), saved.get("in.aspect_ratio"));
    const nn::UnetCondition<float> told{Var<float>(saved.get("in.context")),
                                        Var<float>(nn::size_features<float, Cpu>(sizes))};
    CHECK(saved.difference(net.with_variance(saved.image("in.x"), saved.get("in.t"), told).value()) < 1e-4);
  }
  {
    const Saved saved("sd35", sd35);
    sd::Notes notes;
    const auto net = sd::load_mmdit<float>(saved.path(), {}, &notes);
    CHECK(notes.empty());
    const autograd::NoGrad guard;
    const nn::UnetCondition<float> told{Var<float>(saved.get("in.context")), Var<float>(saved.get("in.pooled"))};
    CHECK(saved.difference(net(saved.image("in.x"), saved.get("in.t"), told).value()) < 1e-4);
    CHECK_THROWS_WITH_AS(sd::load_dit<float>(saved.path()), doctest::Contains("_class_name"), FormatError);
  }
}

TEST_CASE("transformers: full-size networks from their configurations, without memory for them") {
  // The fields of the published files that differ from the defaults of diffusers.
  CHECK(nn::count_parameters(nn::Dit<float>(read(sd::dit_config, R"({"out_channels": 8})"))).elements == 749826464);
  CHECK(nn::count_parameters(nn::PixArt<float>(read(sd::pixart_config, R"({"caption_channels": 4096})"))).elements ==
        611349152);
  CHECK(read(sd::pixart_config, R"({"caption_channels": 4096})").interpolation_scale == 2);
  CHECK_FALSE(read(sd::pixart_config, R"({"sample_size": 64})").size_conditions);
  const auto sd3 = read(sd::mmdit_config, R"({"num_layers": 24, "num_attention_heads": 24, "pos_embed_max_size": 192,
                                              "caption_projection_dim": 1536})");
  CHECK(nn::count_parameters(nn::MmDit<float>(sd3)).tensors == 683);
}

TEST_CASE("transformers: values that the networks do not have are refused by name, unknown fields are listed") {
  CHECK(refused(sd::dit_config, dit, "ada_norm_zero", "ada_norm") ==
        "'config.json': 'norm_type' is \"ada_norm\": not supported, only \"ada_norm_zero\"");
  CHECK(refused(sd::dit_config, dit, "gelu-approximate", "gelu").find("'activation_fn'") != std::string::npos);
  CHECK(refused(sd::dit_config, dit, "\"out_channels\": 8", "\"out_channels\": 5").find("'out_channels'") !=
        std::string::npos);
  CHECK(refused(sd::dit_config, dit, "\"attention_head_dim\": 8", "\"attention_head_dim\": 7")
            .find("'attention_head_dim'") != std::string::npos);
  CHECK(refused(sd::dit_config, dit, "\"patch_size\": 2", "\"patch_size\": 9").find("'patch_size'") !=
        std::string::npos);
  CHECK(refused(sd::pixart_config, pixart, "\"cross_attention_dim\": 24", "\"cross_attention_dim\": 20")
            .find("'cross_attention_dim'") != std::string::npos);
  CHECK(refused(sd::pixart_config, pixart, "\"interpolation_scale\": null", "\"interpolation_scale\": 0")
            .find("'interpolation_scale'") != std::string::npos);
  CHECK(refused(sd::pixart_config, pixart, "\"attention_head_dim\": 12", "\"attention_head_dim\": 8")
            .find("'use_additional_conditions'") != std::string::npos);
  CHECK(refused(sd::mmdit_config, sd35, "rms_norm", "layer_norm").find("'qk_norm'") != std::string::npos);
  CHECK(refused(sd::mmdit_config, sd35, "[0]", "[2]").find("'dual_attention_layers'") != std::string::npos);
  CHECK(refused(sd::mmdit_config, sd35, "\"caption_projection_dim\": 16", "\"caption_projection_dim\": 8")
            .find("'caption_projection_dim'") != std::string::npos);
  CHECK(refused(sd::mmdit_config, sd35, "\"pos_embed_max_size\": 6", "\"pos_embed_max_size\": 3")
            .find("'pos_embed_max_size'") != std::string::npos);
  sd::Notes notes;
  (void)sd::dit_config(json(R"({"made_up": 1})"), "c", notes);
  CHECK(notes == sd::Notes{"'c': field 'made_up' is unknown and has no effect"});
}
