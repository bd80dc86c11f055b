// SPDX-License-Identifier: Apache-2.0
#include "target.hpp"

#include <hypersd/stable_diffusion/config.hpp>

#include <numeric>

using namespace hypersd;
namespace sd = hypersd::stable_diffusion;

namespace {

/// Networks that take long to build show nothing new.
bool small(const std::vector<std::int64_t>& widths) {
  return widths.size() <= 4 && std::accumulate(widths.begin(), widths.end(), std::int64_t{0}) <= 128;
}

template <class F>
void must_accept(const F& f, const char* what) {
  try {
    f();
  } catch (const Error&) {
    fuzz::expect(false, what);
  }
}

}  // namespace

/// The first byte says of what network the rest is the configuration. One that is accepted is one that the network's
/// constructor accepts.
void fuzz::run(std::string_view input) {
  if (input.empty()) return;
  const char kind = input[0];
  input.remove_prefix(1);
  accepted([&] {
    const auto json = io::Json::parse(input, "config");
    sd::Notes notes;
    if (kind == 'c') {
      (void)sd::controlnet_config(json, "config", notes);
    } else if (kind == 't') {
      (void)sd::text_encoder_config(json, "config", notes);
    } else if (kind == 'v') {
      auto c = sd::autoencoder_config(json, "config", notes);
      c.layers_per_block = c.decoder_layers = 1;
      if (small(c.block_out_channels))
        must_accept([&] { (void)nn::Autoencoder<float>(c); }, "the autoencoder of an accepted configuration");
    } else {
      auto c = sd::unet_config(json, "config", notes);
      must_accept([&] { c.validate(); }, "an accepted configuration");
      c.layers_per_block = 1;
      for (auto& depth : c.transformer_layers) depth = 1;
      if (small(c.block_out_channels) && c.cross_attention_dim <= 64 && c.addition_embedding_dim <= 512)
        must_accept([&] { (void)nn::Unet<float>(c); }, "the UNet of an accepted configuration");
    }
  });
}
