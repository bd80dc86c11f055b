// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/lora.hpp>

#include <hypersd/io/safetensors_writer.hpp>
#include <hypersd/stable_diffusion/save_lora.hpp>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;
using checkpoints::message;

namespace {

std::string lora(const std::string& name) { return checkpoints::folder("lora") + "/" + name; }
sd::Model<float> model_of(const std::string& lora_name) {
  return sd::load_model<float>(checkpoints::folder(lora_name.substr(0, 4)));
}

/// What the adapted networks compute against the values of the case `name`.
void check(const sd::Model<float>& model, const std::string& name) {
  const autograd::NoGrad guard;
  const checkpoints::Values inputs(name.substr(0, 4)), v("lora");
  const auto value = [&](const std::string& key) { return v.get(name + "." + key); };
  const auto has = [&](const std::string& key) { return v.contains(name + "." + key); };
  if (has("text")) CHECK(checkpoints::difference(model.text_encoders[0](inputs.ids()).value(), value("text")) < 2e-5);
  if (has("text_2"))
    CHECK(checkpoints::difference(model.text_encoders[1](inputs.ids()).value(), value("text_2")) < 2e-5);
  nn::UnetCondition<float> c = checkpoints::condition(inputs, model.unet.config());
  if (has("text")) c.tokens = Var<float>(value(has("tokens") ? "tokens" : "text"));
  if (has("pooled"))
    c.added = Var<float>(nn::text_time_features(value("pooled"), inputs.get("time_ids"), model.unet.config()));
  CHECK(checkpoints::image_difference(model.unet(inputs.image("x"), inputs.get("t"), c), value("unet")) < 2e-5);
}
/// Factors of rank 1 for one layer.
io::SafetensorsWriter factors(const std::string& layer, const std::string& down, const std::string& up,
                              std::int64_t in = 16, std::int64_t out = 16) {
  io::SafetensorsWriter writer;
  writer.add(layer + down, Tensor<float>::full(Shape{1, in}, 0.5F));
  writer.add(layer + up, Tensor<float>::full(Shape{out, 1}, 0.25F));
  return writer;
}
const char* const to_q = "mid_block_attentions_0_transformer_blocks_0_attn1_to_q";
std::string refusal(const io::SafetensorsWriter& writer, const sd::LoraOptions& options = {}) {
  const test::TempFolder folder;
  writer.write(folder / "a.safetensors");
  auto model = model_of("sd15");
  return message<Error>([&] { sd::apply_lora(model, folder / "a.safetensors", options); });
}

}  // namespace

TEST_CASE("lora files: every spelling computes what peers compute, at run time and merged") {
  struct Case {
    const char* name;
    double weight;
    std::map<std::string, int> layers;
  };
  for (const Case& c : {Case{"sd15_kohya", 0.8, {{"unet", 13}, {"text_encoder", 3}}},
                        {"sd15_diffusers", 1, {{"unet", 13}, {"text_encoder", 3}}},
                        {"sd15_processor", 1, {{"unet", 3}, {"text_encoder", 2}}},
                        {"sd15_peft_metadata", 1, {{"unet", 20}, {"text_encoder", 4}}},
                        {"sd15_peft", 1, {{"unet", 24}}},
                        {"sdxl_kohya", 1, {{"unet", 13}, {"text_encoder", 3}, {"text_encoder_2", 3}}},
                        {"sdxl_sgm", 1, {{"unet", 13}}}}) {
    CAPTURE(c.name);
    auto model = model_of(c.name);
    const std::string path = lora(c.name);
    const auto applied =
        sd::apply_lora(model, std::filesystem::is_directory(path) ? path : path + ".safetensors", {.weight = c.weight});
    CHECK(applied.name == c.name);
    CHECK(applied.unused.empty());
    CHECK(applied.layers == c.layers);
    check(model, c.name);
    check(nn::merge_lora(model), c.name);
  }
}

TEST_CASE("lora files: several add up with weights; merging leaves the model's weights as they are, to the last bit") {
  auto model = model_of("sd15");
  std::map<std::string, Tensor<float>> before;
  for (auto& p : nn::parameters(model)) before.emplace(p.name, p.var.value().clone());
  const auto unchanged = [&](const sd::Model<float>& m) {
    auto handles = m;
    for (auto& p : nn::parameters(handles))
      if (before.count(p.name) != 0 && p.var.value().to_vector() != before.at(p.name).to_vector()) return false;
    return true;
  };
  sd::apply_lora(model, lora("sd15_kohya.safetensors"), {.weight = 3});
  sd::apply_lora(model, lora("sd15_diffusers.safetensors"), {.weight = -2, .name = "style"});
  nn::set_lora_weights(model, {{"sd15_kohya", 0.8}, {"style", 0}});
  check(model, "sd15_kohya");
  const auto fused = nn::merge_lora(model);
  check(fused, "sd15_kohya");
  CHECK(unchanged(model));
  CHECK_FALSE(unchanged(fused));
  nn::remove_lora(model, "sd15_kohya");
  nn::set_lora_weights(model, {{"style", 1}});
  check(model, "sd15_diffusers");
  nn::remove_lora(model, "style");
  CHECK(checkpoints::unet_difference(model, checkpoints::Values("sd15")) < 1e-5);
  CHECK(unchanged(model));
}

TEST_CASE("lora files: a tensor that is not applied is an error that lists it, unless that is allowed") {
  auto writer = factors(std::string("lora_unet_") + to_q, ".lora_down.weight", ".lora_up.weight");
  CHECK(refusal(writer) == "nothing was thrown");
  auto other = writer;
  other.add("lora_unet_mid_block_attentions_7_to_q.lora_down.weight", Tensor<float>::full(Shape{1, 16}, 1));
  other.add("lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha", Tensor<float>::full(Shape{}, 1));
  const std::string text = refusal(other);
  CHECK(text.find("2 of 4 tensors cannot be applied to this sd15 model") != std::string::npos);
  CHECK(text.find("'lora_unet_mid_block_attentions_7_to_q.lora_down.weight' (no such layer)") != std::string::npos);
  CHECK(text.find("'lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha'") != std::string::npos);

  const test::TempFolder folder;
  other.write(folder / "a.b.safetensors");
  auto model = model_of("sd15");
  const auto applied = sd::apply_lora(model, folder / "a.b.safetensors", {.allow_unused = true});
  CHECK(applied.name == "a_b");
  CHECK(applied.unused.size() == 2);
  CHECK(applied.layers == std::map<std::string, int>{{"unet", 1}});
  CHECK(message<OptionError>([&] {
          sd::apply_lora(model, folder / "a.b.safetensors", {.allow_unused = true});
        }).find("already has an adapter called 'a_b'") != std::string::npos);
}

TEST_CASE("lora files: other methods are refused by name, and not applied in part") {
  for (const auto& [suffix, method] : {std::pair(".dora_scale", "DoRA"),
                                       {".lora_magnitude_vector", "DoRA"},
                                       {".hada_w1_a", "LoHa"},
                                       {".lokr_w1", "LoKr"},
                                       {".lora_mid.weight", "CP decomposition"},
                                       {".lora_up.bias", "bias"},
                                       {".diff", "difference"}}) {
    auto writer = factors(std::string("lora_unet_") + to_q, ".lora_down.weight", ".lora_up.weight");
    writer.add(std::string("lora_unet_") + to_q + suffix, Tensor<float>::full(Shape{16}, 1));
    const std::string text = refusal(writer);
    CHECK_MESSAGE(text.find(method) != std::string::npos, text);
    CHECK_MESSAGE(text.find("3 of 3 tensors") != std::string::npos, text);
    CHECK(refusal(writer, {.allow_unused = true}).find("no factors") != std::string::npos);
  }
}

TEST_CASE("lora files: factors that do not fit are refused with the file, the layer and the shapes") {
  const std::string down = ".lora_down.weight", up = ".lora_up.weight", layer = std::string("lora_unet_") + to_q;
  CHECK(refusal(factors(layer, down, up, 12)).find("/a.safetensors': LoRA: layer 'unet.mid_block.attentions.0.") !=
        std::string::npos);
  CHECK(refusal(factors(layer, down, up, 12)).find("[1, 12] (down) and [16, 1] (up) do not fit") != std::string::npos);
  CHECK(refusal(factors(layer, down, ".alpha")).find("alpha") != std::string::npos);
  {
    io::SafetensorsWriter writer;
    writer.add(layer + down, Tensor<float>::full(Shape{1, 16}, 1));
    CHECK(refusal(writer).find("has no lora_B (up) factor") != std::string::npos);
  }
  {
    io::SafetensorsWriter writer;
    writer.add(layer + down, Tensor<float>(Shape{0, 16}));
    writer.add(layer + up, Tensor<float>(Shape{16, 0}));
    CHECK(refusal(writer).find("do not fit") != std::string::npos);
  }
  {
    io::SafetensorsWriter writer;
    writer.add(layer + down, Tensor<std::int32_t>::full(Shape{1, 16}, 1));
    writer.add(layer + up, Tensor<float>::full(Shape{16, 1}, 1));
    CHECK(refusal(writer).find("cannot be converted to F32") != std::string::npos);
  }
  {
    auto writer = factors(layer, down, up);
    writer.add(layer + ".alpha", Tensor<float>::full(Shape{}, std::nanf("")));
    CHECK(refusal(writer).find("alpha = nan") != std::string::npos);
  }
  {
    auto writer = factors(layer, down, up);
    writer.add("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight",
               Tensor<float>::full(Shape{1, 16}, 1));
    CHECK(refusal(writer).find("are the same part of one layer") != std::string::npos);
  }
  CHECK(refusal(factors(layer, down, up), {.weight = std::nan("")}).find("must be finite") != std::string::npos);
}

TEST_CASE("lora files: a file that does not say which text encoder it is for needs to be told") {
  const test::TempFolder folder;
  factors("base_model.model.text_model.encoder.layers.0.mlp.fc1", ".lora_A.default.weight", ".lora_B.default.weight", 8,
          16)
      .write(folder / "a.safetensors");
  auto model = model_of("sdxl");
  CHECK(message<FormatError>([&] {
          sd::apply_lora(model, folder / "a.safetensors");
        }).find("set LoraOptions::component") != std::string::npos);
  CHECK(sd::apply_lora(model, folder / "a.safetensors", {.component = "text_encoder"}).layers ==
        std::map<std::string, int>{{"text_encoder", 1}});
}

// The golden script loads the files of checkpoints/lora/exported with diffusers. HYPERSD_WRITE_GOLDEN=1 writes them.
TEST_CASE("lora files: exported adapters are, byte for byte, files that diffusers reads the same") {
  struct Case {
    const char* from;
    sd::LoraFormat format;
    const char* file;
  };
  const test::TempFolder folder;
  for (const Case& c : {Case{"sd15_kohya", sd::LoraFormat::diffusers, "diffusers.safetensors"},
                        {"sdxl_sgm", sd::LoraFormat::kohya_sdxl, "kohya_sdxl.safetensors"}}) {
    auto model = model_of(c.from);
    sd::apply_lora(model, lora(c.from) + ".safetensors", {.name = "a"});
    const auto state = nn::lora_state(model, "a");
    sd::save_lora(folder / c.file, state, c.format);
    const std::string golden = lora("exported") + "/" + c.file;
    if (std::getenv("HYPERSD_WRITE_GOLDEN") != nullptr) io::atomic_write(golden, io::read_file(folder / c.file));
    CHECK(io::read_file(folder / c.file) == io::read_file(golden));
    // And it reads back as what it was.
    auto again = model_of(c.from);
    sd::apply_lora(again, folder / c.file, {.name = "a"});
    const auto read = nn::lora_state(again, "a");
    REQUIRE(read.size() == state.size());
    for (const auto& [name, tensor] : state) CHECK(read.at(name).to_vector() == tensor.to_vector());
  }
  auto model = model_of("sd15");
  sd::apply_lora(model, lora("sd15_kohya.safetensors"), {.name = "a"});
  sd::save_lora(folder / "k.safetensors", nn::lora_state(model, "a"), sd::LoraFormat::kohya);
  CHECK(io::SafetensorsFile(folder / "k.safetensors").names() ==
        io::SafetensorsFile(lora("sd15_kohya.safetensors")).names());
  CHECK_THROWS_AS(sd::save_lora(folder / "k.safetensors", nn::lora_state(model.unet, "a")), FormatError);
}
