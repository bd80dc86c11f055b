// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/load.hpp>

#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/nn/models/autoencoder_strips.hpp>

#include "checkpoints.hpp"

#include <hypersd/ops/random.hpp>

#include <cmath>
#include <map>

#include <each_instruction_set.hpp>
#include <numbers.hpp>

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;
using checkpoints::message;

namespace {

void check_networks(const sd::Model<float>& model, const std::string& name) {
  const checkpoints::Values v(name);
  const autograd::NoGrad guard;
  CHECK(checkpoints::unet_difference(model, v) < 1e-5);
  CHECK(checkpoints::difference(model.text_encoders[0](v.ids()).value(), v.get("text")) < 1e-5);
  if (v.contains("text_2"))
    CHECK(checkpoints::difference(model.text_encoders[1](v.ids()).value(), v.get("text_2")) < 1e-5);
  const auto latent = autograd::slice_batch(v.image("x"), 0, 1);
  CHECK(checkpoints::image_difference(model.vae.decode(latent), v.get("decoded")) < 1e-5);
  const auto moments = ops::nchw_to_nhwc(v.get("moments"));
  CHECK(checkpoints::difference(model.vae.encode(v.image("picture")).mean.value(), ops::slice_last(moments, 0, 4)) <
        1e-5);
}
sd::Model<float> load(const std::string& path, const std::string& variant = "") {
  return sd::load_model<float>(path, {.variant = variant});
}

}  // namespace

TEST_CASE("load: a folder like SD1.5's, old names in the VAE, computes what diffusers computes") {
  const auto model = load(checkpoints::folder("sd15"));
  CHECK(model.family == sd::Family::sd15);
  CHECK(model.sample_size == 8);
  CHECK(model.vae.config.scaling_factor == 0.18215);
  CHECK(*model.scheduler.find("_class_name")->as<std::string>() == "PNDMScheduler");
  CHECK(model.tokenizers == std::vector<std::string>{""});
  CHECK(model.notes == sd::Notes{});
  check_networks(model, "sd15");
}

TEST_CASE("load: a folder like SDXL's, variant fp16 in shards, computes what diffusers computes") {
  const auto model = load(checkpoints::folder("sdxl"), "fp16");
  CHECK(model.family == sd::Family::sdxl);
  CHECK(model.vae.config.scaling_factor == 0.13025);
  CHECK(model.force_zeros_for_empty_prompt);
  CHECK(*model.scheduler.find("timestep_spacing")->as<std::string>() == "leading");
  CHECK(model.text_encoders[1].text_projection->weight.shape() == Shape{10, 12});
  CHECK(model.notes == sd::Notes{});
  check_networks(model, "sdxl");
}

TEST_CASE("load: weights of 16 bits stay as stored, and compute what their float32 copies do to the last bit") {
  const auto kept = load(checkpoints::folder("sdxl"), "fp16");
  const auto wide = sd::load_model<float>(checkpoints::folder("sdxl"), {.variant = "fp16", .widen = true});
  std::int64_t bytes = 0;
  auto count = [&](const std::string&, auto& p) { bytes += (p.rank() > 1 ? 2 : 4) * p.size(); };
  auto handles = kept;
  nn::visit_parameters(handles, count);
  CHECK(nn::parameter_bytes(kept) == bytes);
  CHECK(nn::parameter_bytes(wide) == 4 * nn::parameter_count(wide));
  CHECK(nn::parameter_bytes(load(checkpoints::folder("sd15"))) ==
        4 * nn::parameter_count(load(checkpoints::folder("sd15"))));

  const checkpoints::Values v("sdxl");
  const autograd::NoGrad guard;
  const auto latent = autograd::slice_batch(v.image("x"), 0, 1);
  const auto condition = checkpoints::condition(v, kept.unet.config());
  const auto check = [&](const auto& call) {
    CHECK(call(kept).to_vector() == call(wide).to_vector());
    CHECK(numbers::same_for_any_threads([&] { return call(kept); }));
  };
  for_each_instruction_set([&](InstructionSet) {
    check([&](const auto& model) { return model.unet(v.image("x"), v.get("t"), condition).value(); });
    check([&](const auto& model) { return model.text_encoders[1](v.ids()).value(); });
    check([&](const auto& model) { return model.vae.decode(latent).value(); });
    check([&](const auto& model) { return nn::decode_in_strips(model.vae, latent.value(), 4096); });
  });
}

TEST_CASE("load: a VAE of float16 files decodes activations beyond the range of float16") {
  const auto kept = load(checkpoints::folder("sdxl"), "fp16");
  const auto wide = sd::load_model<float>(checkpoints::folder("sdxl"), {.variant = "fp16", .widen = true});
  REQUIRE(kept.force_upcast);
  const autograd::NoGrad guard;
  auto latents = ops::normal<float>({1, 4, 4, 4}, stream(1, "latents"));
  for (float& v : latents.span()) v *= 1e6F;  // float16 ends at 65504
  const auto image = kept.vae.decode(Var<float>(latents)).value();
  for (const float v : image.span()) CHECK(std::isfinite(v));
  CHECK(image.to_vector() == wide.vae.decode(Var<float>(latents)).value().to_vector());
}

TEST_CASE("load: weights of float32 files are rounded to 16 bits on request, once") {
  const auto stored = load(checkpoints::folder("sd15"));
  const auto rounded = sd::load_model<float>(checkpoints::folder("sd15"), {.weights = io::DType::BF16});
  auto handles = rounded, wide = stored;
  std::map<std::string, Tensor<float>> exact;
  auto keep = [&](const std::string& name, auto& p) { exact.emplace(name, p.value()); };
  nn::visit_parameters(wide, keep);
  std::int64_t kept = 0, wrong = 0;
  auto look = [&](const std::string& name, auto& p) {
    const Tensor<float> got = p.get().value(), &want = exact.at(name);
    for (std::int64_t i = 0; i < got.size(); ++i)
      wrong += got[i] != (p.rank() > 1 ? static_cast<float>(bfloat16(want[i])) : want[i]);
    kept += p.kept().defined() ? 1 : 0;
  };
  nn::visit_parameters(handles, look);
  CHECK(wrong == 0);
  CHECK(kept > 20);
  CHECK(nn::parameter_bytes(rounded) < 0.55 * static_cast<double>(nn::parameter_bytes(stored)));
  // An SDXL of float16 files stays as it is in float16.
  const auto half_files =
      sd::load_model<float>(checkpoints::folder("sdxl"), {.variant = "fp16", .weights = io::DType::F16});
  CHECK(checkpoints::unet_difference(half_files, checkpoints::Values("sdxl")) < 1e-5);
  CHECK_THROWS_WITH_AS(sd::load_model<float>(checkpoints::folder("sd15"), {.widen = true, .weights = io::DType::BF16}),
                       doctest::Contains("exclude each other"), OptionError);
}

TEST_CASE("load: a variant that is not there is replaced by the one that is, with a note") {
  const auto model = load(checkpoints::folder("sdxl"));
  CHECK(model.notes.size() == 4);
  CHECK(model.notes[0].find("model.safetensors.index.fp16.json") != std::string::npos);
  check_networks(model, "sdxl");
  CHECK(load(checkpoints::folder("sd15"), "bf16").notes.size() == 3);
}

TEST_CASE("load: names of older transformers and shards of older diffusers") {
  const checkpoints::Copy copy("sdxl");
  const std::string shard = "unet/diffusion_pytorch_model", index = shard + ".safetensors.index.fp16.json";
  for (const char* number : {"1", "2", "3"}) {
    const std::string part = std::string("-0000") + number + "-of-00003";
    copy.rename(shard + ".fp16" + part + ".safetensors", shard + part + ".fp16.safetensors");
  }
  std::string text = io::read_file(copy / index);
  for (std::size_t at = 0; (at = text.find(".fp16-0000")) != std::string::npos;)
    text.replace(at, 32, text.substr(at + 5, 15) + ".fp16.safetensors");
  io::atomic_write(copy / index, text);
  CHECK(checkpoints::unet_difference(load(copy.path(), "fp16"), checkpoints::Values("sdxl")) < 1e-5);
}

TEST_CASE("load: a configuration without architectures: the weights say whether there is a projection") {
  const checkpoints::Copy copy("sdxl");
  copy.replace("text_encoder_2/config.json", "CLIPTextModelWithProjection", "Unknown");
  CHECK(load(copy.path()).text_encoders[1].text_projection->weight.shape() == Shape{10, 12});
}

TEST_CASE("load: a ControlNet folder computes what diffusers computes") {
  const autograd::NoGrad guard;
  const auto net = sd::load_controlnet_folder<float>(checkpoints::folder("control"));
  const checkpoints::Values v("control");
  const auto out = net(v.image("x"), v.get("t"), {Var<float>(v.get("tokens")), {}}, v.image("picture"), 0.5);
  CHECK(checkpoints::image_difference(out.mid, v.get("mid")) < 1e-5);
  for (std::size_t i = 0; i < out.skips.size(); ++i)
    CHECK(checkpoints::image_difference(out.skips[i], v.get("down." + std::to_string(i))) < 1e-5);
}

TEST_CASE("load: what is missing, or of another architecture, is named") {
  CHECK(message<IoError>([] { load("/nowhere/model"); }).find("'/nowhere/model' does not exist") == 0);
  CHECK(message<FormatError>([] { load("/nowhere/v1-5.ckpt"); }).find("pickle") != std::string::npos);
  {
    const checkpoints::Copy copy("sd15");
    copy.replace("unet/config.json", "\"cross_attention_dim\": 8", "\"cross_attention_dim\": 12");
    const auto text = message<ShapeError>([&] { load(copy.path()); });
    CHECK(text.find(copy / "unet") != std::string::npos);
    CHECK(text.find("attn2.to_k.weight' has shape [8, 8], [8, 12] needed") != std::string::npos);
  }
  {
    const checkpoints::Copy copy("sd15");
    copy.replace("unet/config.json", "\"layers_per_block\": 1", "\"layers_per_block\": 2");
    CHECK(message<FormatError>([&] { load(copy.path()); }).find("missing ('down_blocks.0.resnets.1.") !=
          std::string::npos);
  }
  {
    const checkpoints::Copy copy("sd15");
    std::filesystem::remove(copy / "vae/diffusion_pytorch_model.safetensors");
    io::atomic_write(copy / "vae/diffusion_pytorch_model.bin", std::string("x"));
    const auto text = message<FormatError>([&] { load(copy.path()); });
    CHECK(text.find("diffusion_pytorch_model.bin' is a Python pickle") != std::string::npos);
    CHECK(text.find("safetensors.torch.save_file") != std::string::npos);
  }
  {
    const checkpoints::Copy copy("sd15");
    copy.replace("model_index.json", "\"CLIPTextModel\"", "null");
    CHECK(message<FormatError>([&] { load(copy.path()); }).find("no component 'text_encoder'") != std::string::npos);
  }
}
