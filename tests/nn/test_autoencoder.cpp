// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/autoencoder.hpp>

#include <hypersd/nn/init.hpp>
#include <hypersd/ops/random.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE_TEMPLATE("autoencoder: output and gradients of diffusers' AutoencoderKL", T, float, double) {
  const golden::File file("autoencoder");
  nn::Autoencoder<T> net({1, 1, 4, {8, 12}, 1, 0, true, true, 4, 1e-6, 1});
  file.load(net);
  const Var<T> x(file.image<T>("in.x"), true);
  const auto posterior = net.encode(x);
  const auto moments = file.image<T>("moments");
  CHECK(file.difference(posterior.mean.value(), ops::slice_last(moments, 0, 4)) < golden::tolerance<T>);
  CHECK(file.difference(posterior.logvar.value(), ops::slice_last(moments, 4, 8)) < golden::tolerance<T>);
  const auto y = net.decode(posterior.mean);
  CHECK(file.difference(y.value(), file.image<T>("out")) < golden::tolerance<T>);
  autograd::backward(y, file.image<T>("grad_out"));
  CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < 5 * golden::tolerance<T>);
  file.check_gradients(net, 5 * golden::tolerance<T>);
}

TEST_CASE("autoencoder: parameter counts of Stable Diffusion and of the default") {
  CHECK(nn::count_parameters(nn::Autoencoder<float>(nn::AutoencoderConfig::stable_diffusion())) ==
        nn::ParameterCount{83653863, 248});
  nn::Autoencoder<float> net(nn::AutoencoderConfig{});
  const auto n = nn::parameter_count(net);
  CHECK(n > 300000);
  CHECK(n < 600000);
  nn::init_parameters(net, 1);
  const Var<float> x(ops::normal<float>({2, 32, 32, 1}, stream(1, "x")));
  const autograd::NoGrad guard;
  const auto z = net.encode(x);
  CHECK(z.mean.shape() == Shape{2, 8, 8, 4});
  CHECK(z.logvar.shape() == z.mean.shape());
  CHECK(net.decode(z.mean).shape() == x.shape());
  CHECK(net.downscale() == 4);
}

TEST_CASE("autoencoder: from_latent inverts the scaling, and the log-variance is clamped") {
  nn::Autoencoder<float> net(nn::AutoencoderConfig{});
  nn::init_parameters(net, 1);
  net.config.scaling_factor = 4;
  const autograd::NoGrad guard;
  const Var<float> x(ops::normal<float>({1, 16, 16, 1}, stream(1, "x")));
  const auto z = net.to_latent(x);
  CHECK(golden::File::difference(z.value(), autograd::affine(net.encode(x).mean, 4).value()) == 0);
  CHECK(golden::File::difference(net.from_latent(z).value(), net.decode(net.encode(x).mean).value()) == 0);
  net.quant_conv.bias.value().fill(1e6F);
  for (const float v : net.encode(x).logvar.value().span()) CHECK(v == 20.0F);
}
