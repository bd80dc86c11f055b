// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/load.hpp>

#include <hypersd/io/safetensors_writer.hpp>

#include <functional>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;
using checkpoints::message;

namespace {

std::string single(const std::string& name) { return checkpoints::folder(name + "_single") + ".safetensors"; }
template <nn::Module M>
void check_same(const M& a, const M& b) {
  const auto left = nn::state_dict(a), right = nn::state_dict(b);
  REQUIRE(left.size() == right.size());
  for (const auto& [name, value] : left) {
    REQUIRE_MESSAGE(right.count(name) == 1, name);
    CHECK_MESSAGE(value.to_vector() == right.at(name).to_vector(), name);
  }
}
/// A copy of a single file in which `change` may rename or drop (by an empty name) each tensor; `extra` ones are added.
void rewrite(const std::string& from, const std::string& to,
             const std::function<std::string(const std::string&)>& change, const std::vector<std::string>& extra = {},
             const std::map<std::string, std::string>& metadata = {}) {
  const io::SafetensorsFile file(from);
  io::SafetensorsWriter writer;
  writer.metadata = metadata;
  for (const std::string& name : file.names()) {
    const std::string renamed = change(name);
    if (renamed.empty() || file.info(name).dtype != io::DType::F16) continue;
    writer.add(renamed, file.get<half>(name));
  }
  for (const std::string& name : extra) writer.add(name, Tensor<float>::full(Shape{1}, 1));
  writer.write(to);
}
std::string same(const std::string& name) { return name; }
const std::string* text_of(const io::Json& json, const char* key) { return json.find(key)->as<std::string>(); }

}  // namespace

TEST_CASE("single file: equal to its folder to the last bit") {
  for (const char* name : {"sd15", "sdxl"}) {
    CAPTURE(name);
    const auto folder = sd::load_model<float>(checkpoints::folder(name), {.variant = "fp16"});
    const auto file = sd::load_model<float>(single(name), {.config_folder = checkpoints::folder(name)});
    CHECK(file.family == folder.family);
    CHECK(file.sample_size == folder.sample_size);
    CHECK(file.scheduler == folder.scheduler);
    CHECK(file.tokenizers == folder.tokenizers);
    CHECK(file.notes == sd::Notes{});
    check_same(file, folder);
  }
  check_same(sd::load_controlnet<float>(single("control"), {.config_folder = checkpoints::folder("control")}),
             sd::load_controlnet<float>(checkpoints::folder("control")));
}

TEST_CASE("single file: other prefixes, a UNet alone, parts from the folder") {
  const test::TempFolder folder;
  const std::string prefix = "model.diffusion_model.";
  const auto want = sd::load_model<float>(checkpoints::folder("sd15"));
  for (const std::string other : {"", "diffusion_model."}) {
    rewrite(single("sd15"), folder / "a.safetensors", [&](const std::string& name) {
      return name.starts_with(prefix) ? other + name.substr(prefix.size()) : std::string();
    });
    check_same(sd::load_model<float>(folder / "a.safetensors", {.config_folder = checkpoints::folder("sd15")}), want);
    CHECK(message<Error>([&] { sd::load_model<float>(folder / "a.safetensors"); }) != "nothing was thrown");
  }
  // The names of diffusers, as in the one-step UNet of Hyper-SDXL.
  std::filesystem::copy(checkpoints::folder("sd15") + "/unet/diffusion_pytorch_model.safetensors",
                        folder / "unet.safetensors");
  check_same(sd::load_model<float>(folder / "unet.safetensors", {.config_folder = checkpoints::folder("sd15")}), want);
}

TEST_CASE("single file: what is not used is noted, what is missing or of another shape is named") {
  const test::TempFolder folder;
  const sd::LoadOptions options{.config_folder = checkpoints::folder("sd15")};
  rewrite(single("sd15"), folder / "a.safetensors", same, {"safety_checker.x", "posterior_variance"});
  const auto model = sd::load_model<float>(folder / "a.safetensors", options);
  REQUIRE(model.notes.size() == 1);
  CHECK(model.notes[0].find("1 tensors are not used: 'safety_checker.x'") != std::string::npos);
  rewrite(single("sd15"), folder / "b.safetensors", [](const std::string& name) {
    return name.ends_with("middle_block.0.in_layers.0.weight") ? std::string() : name;
  });
  CHECK(message<FormatError>([&] {
          sd::load_model<float>(folder / "b.safetensors", options);
        }).find("b.safetensors: UNet': checkpoint of another architecture") != std::string::npos);
  rewrite(single("sd15"), folder / "c.safetensors", same, {"model.diffusion_model.extra"});
  CHECK(message<FormatError>([&] { sd::load_model<float>(folder / "c.safetensors", options); }).find("'extra'") !=
        std::string::npos);
  CHECK(message<FormatError>([&] {
          sd::load_model<float>(single("sd15"), {.config_folder = checkpoints::folder("sdxl")});
        }).find("is of sd15, but '") != std::string::npos);
  // Without a configuration folder the sizes are those of the published models.
  CHECK(message<Error>([&] { sd::load_model<float>(single("sd15")); }).find("checkpoint of another architecture") !=
        std::string::npos);
  rewrite(single("sd15"), folder / "d.safetensors", [](const std::string& name) { return "x." + name; });
  CHECK(message<FormatError>([&] {
          sd::load_model<float>(folder / "d.safetensors");
        }).find("no UNet of Stable Diffusion") != std::string::npos);
  CHECK(message<FormatError>([&] { sd::load_controlnet<float>(single("sd15")); }).find("no ControlNet") !=
        std::string::npos);
}

TEST_CASE("single file: velocity and zero terminal SNR are read from the file's own marks") {
  const test::TempFolder folder;
  const sd::LoadOptions options{.config_folder = checkpoints::folder("sdxl")};
  CHECK(*text_of(sd::load_model<float>(single("sdxl"), options).scheduler, "prediction_type") == "epsilon");
  rewrite(single("sdxl"), folder / "a.safetensors", same, {"v_pred", "ztsnr"});
  const auto model = sd::load_model<float>(folder / "a.safetensors", options);
  CHECK(model.notes == sd::Notes{});
  CHECK(*text_of(model.scheduler, "prediction_type") == "v_prediction");
  CHECK(*model.scheduler.find("rescale_betas_zero_snr")->as<bool>());
  rewrite(single("sdxl"), folder / "b.safetensors", same, {}, {{"modelspec.prediction_type", "v"}});
  CHECK(*text_of(sd::load_model<float>(folder / "b.safetensors", options).scheduler, "prediction_type") ==
        "v_prediction");
}

TEST_CASE("single file: the published configurations have the published sizes, without memory for weights") {
  sd::Notes notes;
  const auto sizes = [&](sd::Family family) {
    const auto c = sd::detail::published_configs(family);
    const auto json = [](const char* text) { return io::Json::parse(text, "published"); };
    std::vector<nn::ParameterCount> n{
        nn::count_parameters(nn::Unet<float>(sd::unet_config(json(c.unet), "unet", notes))),
        nn::count_parameters(nn::Autoencoder<float>(sd::autoencoder_config(json(c.vae), "vae", notes))),
        nn::count_parameters(nn::TextEncoder<float>(sd::text_encoder_config(json(c.text_encoder), "text", notes)))};
    if (*c.text_encoder_2 != '\0')
      n.push_back(nn::count_parameters(
          nn::TextEncoder<float>(sd::text_encoder_config(json(c.text_encoder_2), "text_2", notes))));
    return n;
  };
  const nn::ParameterCount vae{83653863, 248}, clip{123060480, 196};
  CHECK(sizes(sd::Family::sd15) == std::vector<nn::ParameterCount>{{859520964, 686}, vae, clip});
  CHECK(sizes(sd::Family::sdxl) == std::vector<nn::ParameterCount>{{2567463684, 1680}, vae, clip, {694659840, 517}});
  CHECK(sizes(sd::Family::sd21)[0] == nn::ParameterCount{865910724, 686});
  CHECK(sizes(sd::Family::sd21)[2] == nn::ParameterCount{340387840, 372});
  CHECK(notes == sd::Notes{});
}
