// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/resample.hpp>

#include <hypersd/nn/init.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE_TEMPLATE("resampling: output and gradients of diffusers' Downsample2D and Upsample2D", T, float, double) {
  const auto check = [](const std::string& name, auto module, auto call) {
    INFO(name);
    const golden::File file(name);
    file.load(module);
    const Var<T> x(file.image<T>("in.x"), true);
    const auto y = call(module, x);
    CHECK(file.difference(y.value(), file.image<T>("out")) < golden::tolerance<T>);
    autograd::backward(y, file.image<T>("grad_out"));
    CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < golden::tolerance<T>);
    file.check_gradients(module, golden::tolerance<T>);
  };
  const auto plain = [](const auto& m, const Var<T>& x) { return m(x); };
  check("downsample", nn::Downsample2d<T>(8), plain);
  check("downsample_vae", nn::Downsample2d<T>(8, true), plain);
  check("upsample", nn::Upsample2d<T>(8),
        [](const auto& m, const Var<T>& x) { return m(x, 2 * x.dim(1), 2 * x.dim(2)); });
}

TEST_CASE("resampling odd sizes: the UNet rounds up, the autoencoder down") {
  nn::Downsample2d<float> unet(4), autoencoder(4, true);
  nn::init_parameters(unet, 1);
  nn::init_parameters(autoencoder, 1);
  const Var<float> x(ops::normal<float>({1, 7, 5, 4}, stream(1, "x")));
  CHECK(unet(x).shape() == Shape{1, 4, 3, 4});
  CHECK(autoencoder(x).shape() == Shape{1, 3, 2, 4});
}
