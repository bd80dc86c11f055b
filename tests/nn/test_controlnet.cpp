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

TEST_CASE("controlnet: guess mode weighs residuals by 10^(-1 ... 0), several networks add up") {
  nn::UnetConfig c;
  c.block_out_channels = {8, 16};
  c.heads = {2, 2};
  c.cross_attention_dim = 12;
  c.norm_num_groups = 4;
  nn::ControlNet<float> first(nn::ControlNetConfig{c, 3, {4, 8, 8}}), second(nn::ControlNetConfig{c, 3, {4, 8, 8}});
  nn::init_parameters(first, 1);
  nn::init_parameters(second, 2);
  for (auto* net : {&first, &second}) {
    for (auto& block : net->controlnet_down_blocks) block.weight.value().fill(0.01F);
    net->controlnet_mid_block.weight.value().fill(0.02F);
  }
  const autograd::NoGrad guard;
  const Var<float> x(ops::normal<float>({1, 8, 6, 4}, stream(1, "x")));
  const Var<float> picture(ops::uniform<float>({1, 32, 24, 3}, stream(1, "picture")));
  const auto t = Tensor<float>::from({1}, {499});
  const nn::UnetCondition<float> condition{Var<float>(ops::normal<float>({1, 3, 12}, stream(1, "c"))), {}};
  const auto plain = first(x, t, condition, picture), guessed = first(x, t, condition, picture, {0.5, true});
  // numpy.logspace(-1, 0, 5), for 4 skip connections and the middle block
  const double weights[] = {0.1, 0.1778279410038923, 0.31622776601683794, 0.5623413251903491, 1.0};
  REQUIRE(plain.skips.size() == 4);
  for (std::size_t i = 0; i < 5; ++i) {
    const auto& a = i < 4 ? plain.skips[i] : plain.mid;
    const auto& b = i < 4 ? guessed.skips[i] : guessed.mid;
    CHECK(std::abs(a.value()[3]) > 1e-4);
    CHECK(b.value()[3] == doctest::Approx(0.5 * weights[i] * double{a.value()[3]}).epsilon(1e-5));
  }
  const auto other = second(x, t, condition, picture), both = nn::add_residuals(plain, other);
  CHECK(both.skips[2].value()[5] == plain.skips[2].value()[5] + other.skips[2].value()[5]);
  CHECK(both.mid.value()[5] == plain.mid.value()[5] + other.mid.value()[5]);
  auto fewer = other;
  fewer.skips.pop_back();
  CHECK_THROWS_AS(nn::add_residuals(plain, fewer), ShapeError);
  const auto features = first.controlnet_cond_embedding(picture);
  CHECK(golden::File::difference(first.from_features(x, t, condition, features).mid.value(), plain.mid.value()) == 0);
}
