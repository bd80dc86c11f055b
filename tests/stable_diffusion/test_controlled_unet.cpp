// SPDX-License-Identifier: Apache-2.0
#include <hypersd/stable_diffusion/controlled_unet.hpp>

#include <doctest/doctest.h>

#include <hypersd/nn/init.hpp>
#include <hypersd/ops/random.hpp>

using namespace hypersd;

namespace {

struct Setup {
  nn::UnetConfig config = [] {
    nn::UnetConfig c;
    c.block_out_channels = {8, 16};
    c.heads = {2, 2};
    c.cross_attention_dim = 12;
    c.norm_num_groups = 4;
    return c;
  }();
  nn::Unet<float> unet{config};
  std::vector<stable_diffusion::Control<float>> controls;
  Var<float> x{ops::normal<float>({2, 8, 6, 4}, stream(1, "x"))};
  Tensor<float> t = Tensor<float>::from({2}, {499, 499});
  nn::UnetCondition<float> condition{Var<float>(ops::normal<float>({2, 3, 12}, stream(1, "c"))), {}};

  Setup() {
    nn::init_parameters(unet, 1);
    for (std::uint64_t i = 0; i < 2; ++i) {
      nn::ControlNet<float> net(nn::ControlNetConfig{config, 3, {4, 8, 8}});
      nn::init_parameters(net, 2 + i);
      for (auto& block : net.controlnet_down_blocks) block.weight.value().fill(0.05F);
      net.controlnet_mid_block.weight.value().fill(0.05F);
      controls.push_back({net, ops::uniform<float>({1, 32, 24, 3}, stream(i, "picture")), 0.5 + double(i), 0, 1});
    }
  }
  /// The prediction with the residuals of ControlNet i alone.
  [[nodiscard]] nn::ControlResiduals<float> residuals(std::size_t i, bool guess = false) const {
    const auto& c = controls[i];
    const Var<float> pictures(ops::concat_first(c.picture, c.picture));
    return c.net(x, t, condition, pictures, {c.scale, guess});
  }
  [[nodiscard]] std::vector<float> with(const nn::ControlResiduals<float>* r) const {
    return unet(x, t, condition, r).value().to_vector();
  }
};

}  // namespace

TEST_CASE("controlled UNet: residuals of several ControlNets add up, each in its window") {
  Setup s;
  const autograd::NoGrad guard;
  const auto first = s.residuals(0), second = s.residuals(1), both = nn::add_residuals(first, second);
  const auto plain = s.with(nullptr), one = s.with(&first), two = s.with(&both);
  REQUIRE(plain != one);
  REQUIRE(one != two);
  s.controls[1].start = 0.25;
  s.controls[1].end = 0.75;
  s.controls[0].end = 0.75;
  const stable_diffusion::ControlledUnet<float> net(s.unet, s.controls, false, 2, 4);
  const std::vector<float>* const want[] = {&one, &two, &two, &plain};  // 4 steps: 0 to 0.25, 0.25 to 0.5, ...
  for (int step = 0; step < 4; ++step) {
    net.begin_step(step);
    CAPTURE(step);
    CHECK(net(s.x, s.t, s.condition).value().to_vector() == *want[step]);
  }
}

TEST_CASE("controlled UNet: in guess mode the unconditional half is not controlled") {
  Setup s;
  s.controls.pop_back();
  const autograd::NoGrad guard;
  const auto guessed = s.residuals(0, true);
  const auto controlled = s.with(&guessed), plain = s.with(nullptr);
  const auto half = static_cast<std::ptrdiff_t>(plain.size() / 2);
  // One image with guidance: of the batch of two, the first is the conditional branch.
  const auto out = stable_diffusion::ControlledUnet<float>(s.unet, s.controls, true, 1, 1)(s.x, s.t, s.condition)
                       .value()
                       .to_vector();
  double first = 0, apart = 0;  // the ControlNet has run on another batch, so that rounding may differ
  for (std::ptrdiff_t i = 0; i < half; ++i) {
    const auto k = static_cast<std::size_t>(i);
    first = std::max(first, std::abs(double{out[k]} - double{controlled[k]}));
    apart = std::max(apart, std::abs(double{out[k]} - double{plain[k]}));
  }
  CHECK(first < 1e-5);
  CHECK(apart > 1e-2);
  CHECK(std::vector<float>(out.begin() + half, out.end()) == std::vector<float>(plain.begin() + half, plain.end()));
  // Two images without guidance: both are controlled.
  const auto two =
      stable_diffusion::ControlledUnet<float>(s.unet, s.controls, true, 2, 1)(s.x, s.t, s.condition).value();
  CHECK(two.to_vector() == controlled);
}

TEST_CASE("controlled UNet: windows and pictures are checked") {
  Setup s;
  s.controls[0].start = 1;
  CHECK_THROWS_AS((stable_diffusion::ControlledUnet<float>(s.unet, s.controls, false, 1, 4)), OptionError);
  s.controls[0].start = 0;
  s.controls[0].picture = Tensor<float>(Shape{32, 24, 3});
  CHECK_THROWS_AS((stable_diffusion::ControlledUnet<float>(s.unet, s.controls, false, 1, 4)), ShapeError);
}
