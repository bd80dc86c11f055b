// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/nn/init.hpp>
#include <hypersd/stable_diffusion/lora.hpp>

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

namespace {

sd::Model<float> small() {
  sd::Model<float> model;
  nn::UnetConfig c;
  c.block_out_channels = {4};
  c.layers_per_block = 1;
  c.down_attention = {true};
  c.heads = {1};
  c.transformer_layers = {1};
  c.cross_attention_dim = 4;
  c.norm_num_groups = 2;
  model.unet = nn::Unet<float>(c);
  nn::init_parameters(model.unet, 1);
  return model;
}

}  // namespace

/// An adapter is applied completely or not at all. The number of bytes decides whether unused tensors are allowed, and
/// text that begins like JSON is the configuration of an adapter.
void fuzz::run(std::string_view input) {
  if (input.starts_with("{")) {
    accepted([&] { (void)io::formats::PeftScales(io::Json::parse(input, "config"), "config").alpha("a.to_q", 4); });
    return;
  }
  static const sd::Model<float> base = small();
  const File file(input);
  auto model = base;
  const bool allow = input.size() % 2 == 1;
  const bool applied = accepted([&] {
    const auto report = sd::apply_lora(model, file.path(), {.name = "a", .allow_unused = allow});
    expect(allow || report.unused.empty(), "every tensor is applied");
    (void)nn::merge_lora(model);
  });
  std::int64_t layers = 0;
  nn::for_each_layer(
      model, [&](const std::string&, auto& layer) { layers += static_cast<std::int64_t>(layer.adapters.size()); });
  expect(applied == (layers > 0), "applied, or unchanged");
}
