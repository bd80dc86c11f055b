// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/unet.hpp>

#include <doctest/doctest.h>
#include <hypersd/nn/init.hpp>

using namespace hypersd;

TEST_CASE("the parameters of Stable Diffusion's UNets are counted without memory") {
  const nn::Unet<float> sd15(nn::UnetConfig::sd15()), sdxl(nn::UnetConfig::sdxl());
  CHECK(nn::count_parameters(sd15) == nn::ParameterCount{859520964, 686});
  CHECK(nn::count_parameters(sdxl) == nn::ParameterCount{2567463684, 1680});
}

TEST_CASE("unet: shapes") {
  nn::Unet<float> net(nn::UnetConfig::fashion());
  nn::init_parameters(net, 1);
  MESSAGE(nn::parameter_count(net));
  for (const std::int64_t n : {8, 7}) {
    const Var<float> x(ops::normal<float>({2, n, n, 4}, stream(1, "x")));
    const auto y = net(x, Tensor<float>::from({2}, {999, 0}), {Var<float>(ops::normal<float>({2, 5, 64}, stream(1, "c"))), {}});
    CHECK(y.shape() == x.shape());
    for (auto v : y.value().span()) CHECK(std::isfinite(v));
  }
}
