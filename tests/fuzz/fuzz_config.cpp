// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/stable_diffusion/config.hpp>

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

/// A configuration that is accepted is one that the network's constructor accepts.
void fuzz::run(std::string_view input) {
  io::Json json;
  if (!accepted([&] { json = io::Json::parse(input, "config"); })) return;
  sd::Notes notes;
  accepted([&] {
    auto c = sd::unet_config(json, "config", notes);
    c.layers_per_block = 1;  // networks that take seconds to build show nothing new
    for (auto& depth : c.transformer_layers) depth = 1;
    try {
      const nn::Unet<float> net(c);
    } catch (const Error&) {
      expect(false, "the UNet of an accepted configuration");
    }
  });
  accepted([&] { (void)sd::controlnet_config(json, "config", notes); });
  accepted([&] {
    auto c = sd::autoencoder_config(json, "config", notes);
    try {
      const nn::Autoencoder<float> net(c);
    } catch (const Error&) {
      expect(false, "the autoencoder of an accepted configuration");
    }
  });
  accepted([&] { (void)sd::text_encoder_config(json, "config", notes); });
}
