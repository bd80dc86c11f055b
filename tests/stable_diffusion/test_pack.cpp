// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/pack.hpp>

#include <hypersd/stable_diffusion/lora.hpp>

#include "checkpoints.hpp"

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

namespace {

/// What the networks of a model compute.
std::vector<std::vector<float>> results(const sd::Model<float>& model) {
  const autograd::NoGrad guard;
  const checkpoints::Values v("sd15");
  const auto condition = checkpoints::condition(v, model.unet.config());
  return {model.unet(v.image("x"), v.get("t"), condition).value().to_vector(),
          model.vae.decode(autograd::slice_batch(v.image("x"), 0, 1)).value().to_vector(),
          model.text_encoders[0](v.ids()).value().to_vector()};
}
/// Layers whose weight is packed.
int packed_layers(sd::Model<float> model) {
  int count = 0;
  nn::for_each_layer(model, [&](const std::string&, auto& layer) { count += layer.weight.kept().strip() > 0 ? 1 : 0; });
  return count;
}

}  // namespace

TEST_CASE("packed checkpoints compute the same bits: as stored, in 16 bits, with LoRAs merged or at run time") {
  const std::string lora = checkpoints::folder("lora") + "/sd15_kohya.safetensors";
  const auto load = [](std::optional<io::DType> weights = {}) {
    return sd::load_model<float>(checkpoints::folder("sd15"), {.weights = weights});
  };
  std::vector<sd::Model<float>> models{load(), load(io::DType::BF16), load(), load(io::DType::F16), load()};
  for (std::size_t i = 2; i < 5; ++i) REQUIRE(!sd::apply_lora(models[i], lora).layers.empty());
  models[2] = nn::merge_lora(models[2]);
  models[3] = nn::merge_lora(models[3], {}, nn::MergedWeights::as_stored);
  for (sd::Model<float>& model : models) {
    const auto want = results(model);
    const std::int64_t bytes = nn::parameter_bytes(model);
    nn::pack_weights(model);
    CHECK(results(model) == want);
    CHECK(nn::parameter_bytes(model) <= bytes + bytes / 4);  // the last strip of layers this small is not full
  }
  CHECK(packed_layers(models[0]) > packed_layers(models[4]));  // adapted layers are not packed
  CHECK(packed_layers(models[0]) == packed_layers(models[2]));
  CHECK(packed_layers(models[4]) > 0);
}
