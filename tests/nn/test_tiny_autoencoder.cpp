// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/tiny_autoencoder.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE_TEMPLATE("tiny autoencoder: output and gradients of diffusers' AutoencoderTiny", T, float, double) {
  const golden::File file("tiny_autoencoder");
  nn::TinyAutoencoderConfig config;
  config.encoder_widths = config.decoder_widths = {4, 4, 4, 4};
  nn::TinyAutoencoder<T> net(config);
  file.load(net);
  const Var<T> x(file.image<T>("in.x"), true);
  const auto latents = net.encode(x);
  CHECK(latents.shape() == Shape{2, 3, 2, 4});
  CHECK(file.difference(latents.value(), file.image<T>("latents")) < golden::tolerance<T>);
  const auto y = net.decode(autograd::affine(latents, 3));
  CHECK(file.difference(y.value(), file.image<T>("out")) < golden::tolerance<T>);
  autograd::backward(y, file.image<T>("grad_out"));
  CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < 5 * golden::tolerance<T>);
  file.check_gradients(net, 5 * golden::tolerance<T>);
}

TEST_CASE("tiny autoencoder: sizes") {
  const nn::TinyAutoencoder<float> net(nn::TinyAutoencoderConfig{});
  CHECK(nn::parameter_count(net) == 2445063);  // diffusers' AutoencoderTiny()
  nn::TinyAutoencoderConfig c;
  c.decoder_blocks = {1};
  CHECK_THROWS_AS(nn::TinyAutoencoder<float>{c}, OptionError);
  c = {};
  c.encoder_widths = {8, 8, 8, 16};
  CHECK_THROWS_AS(nn::TinyAutoencoder<float>{c}, OptionError);
}
