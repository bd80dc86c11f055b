// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/controlnet.hpp>

#include <hypersd/nn/init.hpp>

#include "golden.hpp"

using namespace hypersd;

TEST_CASE("controlnet: parameter and tensor counts of Stable Diffusion") {
  CHECK(nn::count_parameters(nn::ControlNet<float>(nn::ControlNetConfig{nn::UnetConfig::sd15()})) ==
        nn::ParameterCount{361279120, 340});
  CHECK(nn::count_parameters(nn::ControlNet<float>(nn::ControlNetConfig{nn::UnetConfig::sdxl()})) ==
        nn::ParameterCount{1251014160, 844});
}

TEST_CASE("controlnet: no effect when fresh, later in proportion to its scale") {
  nn::UnetConfig c;
  c.block_out_channels = {8, 16};
  c.heads = {2, 2};
  c.cross_attention_dim = 12;
  c.norm_num_groups = 4;
  nn::Unet<float> net(c);
  nn::ControlNet<float> control(nn::ControlNetConfig{c, 1, {4, 8, 8}});
  nn::init_parameters(net, 1);
  nn::init_parameters(control, 2);
  const autograd::NoGrad guard;
  const Var<float> x(ops::normal<float>({2, 8, 6, 4}, stream(1, "x")));
  const Var<float> picture(ops::uniform<float>({2, 32, 24, 1}, stream(1, "picture")));
  const auto t = Tensor<float>::from({2}, {999, 3});
  const nn::UnetCondition<float> condition{Var<float>(ops::normal<float>({2, 3, 12}, stream(1, "c"))), {}};
  const auto plain = net(x, t, condition).value();
  const auto controlled = [&](double scale) {
    const auto residuals = control(x, t, condition, picture, scale);
    return net(x, t, condition, &residuals).value();
  };
  CHECK(golden::File::difference(controlled(1), plain) == 0);

  for (auto& block : control.controlnet_down_blocks) block.bias.value().fill(0.1F);
  control.controlnet_mid_block.bias.value().fill(0.2F);
  CHECK(golden::File::difference(controlled(1), plain) > 1e-4);
  CHECK(golden::File::difference(controlled(0), plain) == 0);
  auto residuals = control(x, t, condition, picture, 0.5);
  CHECK(residuals.mid.value()[0] == doctest::Approx(0.1));
  residuals.skips.pop_back();
  CHECK_THROWS_AS(net(x, t, condition, &residuals), ShapeError);
}
