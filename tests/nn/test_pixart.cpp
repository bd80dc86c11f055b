// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/pixart.hpp>
#include <hypersd/nn/models/pixart_cost.hpp>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"
#include "network_checks.hpp"

using namespace hypersd;
using network_checks::filled;

namespace {

nn::PixArtConfig tiny() {
  nn::PixArtConfig c;
  c.out_channels = 8;
  c.heads = 2;
  c.head_dim = 12;
  c.layers = 2;
  c.text_channels = 10;
  c.size_conditions = true;
  return c;
}
nn::PixArtConfig plain() {
  auto c = tiny();
  c.out_channels = 4;
  c.layers = 1;
  c.interpolation_scale = 2;
  c.text_channels = 24;
  c.caption_projection = c.size_conditions = false;
  return c;
}

template <class T = float>
nn::UnetCondition<T> condition(const nn::PixArtConfig& c, std::int64_t batch = 2) {
  Var<T> added;
  if (c.size_conditions)
    added = Var<T>(nn::size_features<T, Cpu>(Tensor<T>::from({2, 3}, {512, 768, T(0.6667), 1024, 256, 4})));
  return {Var<T>(ops::normal<T>({batch, 3, c.text_channels}, stream(1, "tokens"))), added};
}

}  // namespace

TEST_CASE("pixart: parameter and tensor counts of PixArt-alpha in diffusers, without memory for them") {
  CHECK(nn::count_parameters(nn::PixArt<float>(nn::PixArtConfig::xl2_1024())) == nn::ParameterCount{611349152, 611});
}

TEST_CASE_TEMPLATE("pixart: output and gradients of diffusers' PixArtTransformer2DModel, other sizes too", T, float,
                   double) {
  // diffusers rounds the frequencies of the time and size features to float32, also in a double pass: angles of 1000
  // radians are off by up to 6e-5.
  const double tolerance = sizeof(T) == 4 ? 1e-4 : 6e-5;
  for (const bool sizes : {true, false}) {
    INFO(sizes);
    const golden::File file(sizes ? "pixart" : "pixart_plain");
    nn::PixArt<T> net(sizes ? tiny() : plain());
    file.load(net);
    const Var<T> x(file.image<T>("in.x"), true), tokens(file.get<T>("in.context"), true);
    Var<T> added;
    if (sizes)
      added = Var<T>(
          nn::size_features<T, Cpu>(ops::concat_last(file.get<T>("in.resolution"), file.get<T>("in.aspect_ratio"))));
    const auto y = net.with_variance(x, file.get<T>("in.t"), {tokens, added});
    CHECK(file.difference(y.value(), file.image<T>("out")) < tolerance);
    const auto mean = net(x, file.get<T>("in.t"), {tokens, added}).value();
    CHECK(mean.to_vector() == ops::slice_last(y.value(), 0, 4).to_vector());
    autograd::backward(y, file.image<T>("grad_out"));
    CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < tolerance);
    CHECK(file.difference(tokens.grad(), file.get<T>("grad_in.context")) < tolerance);
    file.check_gradients(net, tolerance);

    const Var<T> other(file.image<T>("other.x"));
    REQUIRE(other.dim(1) != other.dim(2));
    CHECK(file.difference(net.with_variance(other, file.get<T>("in.t"), {tokens, added}).value(),
                          file.image<T>("other.out")) < tolerance);
  }
}

TEST_CASE("pixart: a fresh network learns to attend to other pixels") {
  auto c = plain();
  c.in_channels = c.out_channels = c.patch_size = 1;
  c.sample_size = 2;
  c.head_dim = 8;
  c.text_channels = 16;
  const nn::UnetCondition<float> text{Var<float>(Tensor<float>::ones({16, 1, 16})), {}};
  CHECK(network_checks::share_left_of_pixelwise(nn::PixArt<float>(c), text, 200, 1e-2) < 0.7);
}

TEST_CASE("pixart: a fresh network predicts 0") {
  nn::PixArt<float> net(tiny());
  nn::init_parameters(net, 3);
  const auto y = net(Var<float>(ops::normal<float>({2, 8, 8, 4}, stream(1, "x"))), Tensor<float>::full({2}, 300),
                     condition(tiny()));
  for (std::int64_t i = 0; i < y.size(); ++i) REQUIRE(y.value()[i] == 0);
}

TEST_CASE("pixart: gradients and tangents of a block") {
  for (const bool rms : {false, true}) {
    auto config = plain();
    config.text_channels = 6;
    config.qk_norm = config.rms_norm = rms;
    const auto block = filled(nn::PixArtBlock<double>(config));
    const auto result = testing::gradcheck(
        [&](const auto& in) { return block(in[0], in[1], in[2]); },
        {numbers::normal({2, 3, 24}, "h"), numbers::normal({2, 2, 6}, "text"), numbers::normal({2, 144}, "m")}, 1e-7);
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("pixart: jvp along sample and time, adapters included, is the central difference and fits the gradient") {
  network_checks::jvp_fits(filled(nn::PixArt<double>(tiny())), {2, 4, 6, 4}, condition<double>(tiny()));
}

TEST_CASE("pixart: gradient checkpointing changes only the order of sums") {
  auto net = filled(nn::PixArt<float>(tiny()));
  network_checks::checkpoint_changes_nothing(net, {2, 8, 8, 4}, condition(tiny()),
                                             [&](bool on) { net.config.checkpoint_layers = on; });
}

TEST_CASE("pixart: names of the layers that adapters take") {
  const nn::PixArt<float> net(plain());
  CHECK(network_checks::adapted_layers(net, {"to_q", "to_out.0", "adaln_single.linear"}) ==
        std::set<std::string>{"transformer_blocks.0.attn1.to_q", "transformer_blocks.0.attn1.to_out.0",
                              "transformer_blocks.0.attn2.to_q", "transformer_blocks.0.attn2.to_out.0",
                              "adaln_single.linear"});
}

TEST_CASE("pixart: features, and samples of Stable Diffusion's process") {
  auto c = plain();
  c.layers = 3;
  const auto net = filled(nn::PixArt<float>(c), 3, 0.05);
  const auto noise = ops::normal<float>({2, 8, 4, 4}, stream(1, "noise"));
  const auto features = net.features(Var<float>(noise), Tensor<float>::full({2}, 10), condition(c));
  REQUIRE(features.size() == net.feature_channels().size());
  CHECK(features.size() == 3);
  CHECK(features[2].shape() == Shape{2, 4, 2, 24});
  CHECK(net.feature_channels()[2] == 24);
  const diffusion::Sampler<diffusion::Ddim, diffusion::StableDiffusion, diffusion::ClassifierFree> guided({}, {},
                                                                                                          {.scale = 3});
  const diffusion::Sampler<diffusion::Ddim, diffusion::StableDiffusion> unguided;
  const auto text = condition(c);
  // Both branches are the same: guidance leaves the result as it is up to rounding.
  CHECK(golden::File::difference(guided(net, noise, diffusion::GuidedCondition{text, text}, 3),
                                 unguided(net, noise, text, 3)) < 1e-5);
}

TEST_CASE("pixart: bfloat16 agrees with float32") {
  const auto wide = filled(nn::PixArt<float>(tiny()), 3, 0.05);
  nn::PixArt<bfloat16> net(tiny());
  nn::copy_parameters(wide, net);
  const auto x = ops::normal<float>({2, 8, 8, 4}, stream(1, "x"));
  const auto t = Tensor<float>::from({2}, {999, 3.5F});
  const auto c = condition(tiny());
  const auto narrow = [](const Tensor<float>& v) { return Var<bfloat16>(ops::cast<bfloat16>(v)); };
  const auto got = net(narrow(x), t, {narrow(c.tokens.value()), narrow(c.added.value())});
  CHECK(golden::File::difference(ops::cast<float>(got.value()), wide(Var<float>(x), t, c).value()) < 0.03);
}

TEST_CASE("pixart: multiply-adds are those that PyTorch counts for diffusers' networks") {
  // Half of `FlopCounterMode` (torch 2.15) for PixArtTransformer2DModel with these settings, by tests/golden/flops.py.
  CHECK(2 * nn::multiply_adds(nn::PixArtConfig::xl2_1024(), 128, 128, 120) == 6509523566592);
  nn::PixArtConfig c;
  c.head_dim = 32;
  c.layers = 6;
  CHECK(2 * nn::multiply_adds(c, 8, 8, 8) == 49184768);
  CHECK(2 * nn::multiply_adds(c, 8, 8, 2) == 46235648);
  c.heads = c.layers = 2;
  c.head_dim = 16;
  c.out_channels = 8;
  c.text_channels = 24;
  c.caption_projection = false;
  CHECK(2 * nn::multiply_adds(c, 12, 12, 5) == 2614272);
  c.out_channels = 40;  // of a policy: 32 more for each of 4 places in 36 patches, from 32 channels
  CHECK(2 * nn::multiply_adds(c, 12, 12, 5) == 2614272 + 2 * 32 * 4 * 36 * 32);
  c.layers = 0;
  CHECK_THROWS_AS(nn::multiply_adds(c, 12, 12, 5), OptionError);
}

TEST_CASE("pixart: invalid configurations and inputs are named") {
  const auto refused = [](auto change, const char* text) {
    auto c = tiny();
    change(c);
    CHECK_THROWS_WITH_AS(nn::PixArt<float>{c}, doctest::Contains(text), OptionError);
  };
  refused([](auto& c) { c.heads = 0; }, "PixArtConfig: heads = 0");
  refused([](auto& c) { c.head_dim = 8; }, "3 does not divide the width of 16 channels");
  refused([](auto& c) { c.text_channels = 0; }, "text_channels = 0");
  refused([](auto& c) { c.interpolation_scale = 0; }, "interpolation_scale = 0");

  nn::PixArt<float> net(tiny());
  nn::init_parameters(net, 1);
  const Var<float> x(Tensor<float>::zeros({2, 8, 8, 4}));
  const auto t = Tensor<float>::full({2}, 10);
  const auto c = condition(tiny());
  CHECK_THROWS_WITH_AS(net(x, t, {}), doctest::Contains("no tokens"), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, t, {c.tokens, {}}), doctest::Contains("size features"), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, t, condition(plain())), doctest::Contains("text_channels 10"), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, Tensor<float>::full({3}, 10), c), doctest::Contains("PixArt: times [3]"), ShapeError);
  CHECK_THROWS_AS((nn::size_features<float, Cpu>(Tensor<float>::zeros({2, 2}))), ShapeError);
}
