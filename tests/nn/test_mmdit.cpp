// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/mmdit.hpp>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"
#include "network_checks.hpp"

using namespace hypersd;
using network_checks::filled;

namespace {

nn::MmDitConfig tiny() {
  nn::MmDitConfig c;
  c.heads = 2;
  c.head_dim = 8;
  c.layers = 2;
  c.pos_embed_max_size = 6;
  c.text_channels = 10;
  c.pooled_channels = 12;
  return c;
}
nn::MmDitConfig with_dual_attention() {
  auto c = tiny();
  c.qk_norm = true;
  c.dual_attention_layers = {0};
  return c;
}

template <class T = float>
nn::UnetCondition<T> condition(std::int64_t batch = 2) {
  return {Var<T>(ops::normal<T>({batch, 3, 10}, stream(1, "tokens"))),
          Var<T>(ops::normal<T>({batch, 12}, stream(1, "pooled")))};
}

}  // namespace

TEST_CASE("mmdit: parameter and tensor counts of Stable Diffusion 3 and 3.5 in diffusers, without memory for them") {
  // Tables of positions included, as in files: 192^2 and 384^2 rows of 1536.
  CHECK(nn::count_parameters(nn::MmDit<float>(nn::MmDitConfig::sd3_medium())) ==
        nn::ParameterCount{2028328000 + 192 * 192 * 1536, 683});
  CHECK(nn::count_parameters(nn::MmDit<float>(nn::MmDitConfig::sd35_medium())) ==
        nn::ParameterCount{2243171520 + 384 * 384 * 1536, 909});
}

TEST_CASE_TEMPLATE("mmdit: output and gradients of diffusers' SD3Transformer2DModel, other sizes too", T, float,
                   double) {
  // diffusers rounds the frequencies of the time features, and the root mean squares of queries and keys, to float32.
  const double tolerance = sizeof(T) == 4 ? 1e-4 : 6e-5;
  for (const bool dual : {false, true}) {
    INFO(dual);
    const golden::File file(dual ? "sd35" : "sd3");
    nn::MmDit<T> net(dual ? with_dual_attention() : tiny());
    file.load(net);
    const Var<T> x(file.image<T>("in.x"), true), tokens(file.get<T>("in.context"), true),
        pooled(file.get<T>("in.pooled"), true);
    const auto y = net(x, file.get<T>("in.t"), {tokens, pooled});
    CHECK(file.difference(y.value(), file.image<T>("out")) < tolerance);
    autograd::backward(y, file.image<T>("grad_out"));
    CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < tolerance);
    CHECK(file.difference(tokens.grad(), file.get<T>("grad_in.context")) < tolerance);
    CHECK(file.difference(pooled.grad(), file.get<T>("grad_in.pooled")) < tolerance);
    file.check_gradients(net, tolerance);

    const Var<T> other(file.image<T>("other.x"));
    REQUIRE(other.dim(1) != other.dim(2));
    CHECK(file.difference(net(other, file.get<T>("in.t"), {tokens, pooled}).value(), file.image<T>("other.out")) <
          tolerance);
  }
}

TEST_CASE("mmdit: the table of positions is diffusers', and is no parameter to train") {
  const golden::File file("sd3");
  nn::MmDit<double> net(tiny());
  nn::init_parameters(net, 3);
  CHECK(numbers::distance(net.pos_embed.pos_embed.value(), file.get<double>("param.pos_embed.pos_embed")) < 1e-6);
  nn::set_requires_grad(net, true);
  const auto y =
      net(Var<double>(numbers::normal({2, 8, 8, 4}, "x")), Tensor<double>::full({2}, 300), condition<double>());
  autograd::backward(y, Tensor<double>::ones(y.shape()));
  CHECK_FALSE(net.pos_embed.pos_embed.requires_grad());
  CHECK_FALSE(net.pos_embed.pos_embed.grad().defined());
  CHECK(net.pos_embed.proj.weight.requires_grad());
  CHECK(nn::state_dict(net).count("pos_embed.pos_embed") == 1);
  for (std::int64_t i = 0; i < y.size(); ++i) REQUIRE(y.value()[i] == 0);  // a fresh network
}

TEST_CASE("mmdit: gradients and tangents of blocks, the last one included") {
  for (const std::int64_t index : {0, 1}) {
    const auto block = filled(nn::MmDitBlock<double>(with_dual_attention(), index));
    CHECK(block.text_result() == (index == 0));
    const auto result = testing::gradcheck(
        [&](const auto& in) {
          const auto [image, text] = block(in[0], in[1], in[2]);
          return text.defined() ? nn::concat_tokens(image, text) : image;
        },
        {numbers::normal({2, 3, 16}, "h"), numbers::normal({2, 2, 16}, "text"), numbers::normal({2, 16}, "e")}, 1e-7);
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("mmdit: tokens joined and sliced") {
  const Var<double> a(numbers::normal({2, 3, 4}, "a")), b(numbers::normal({2, 1, 4}, "b"));
  const auto both = nn::concat_tokens(a, b);
  CHECK(both.shape() == Shape{2, 4, 4});
  CHECK(nn::slice_tokens(both, 0, 3).value().to_vector() == a.value().to_vector());
  CHECK(nn::slice_tokens(both, 3, 4).value().to_vector() == b.value().to_vector());
}

TEST_CASE("mmdit: jvp along sample and time, adapters included, is the central difference and fits the gradient") {
  network_checks::jvp_fits(filled(nn::MmDit<double>(with_dual_attention())), {2, 4, 6, 4}, condition<double>());
}

TEST_CASE("mmdit: gradient checkpointing changes only the order of sums") {
  auto net = filled(nn::MmDit<float>(with_dual_attention()));
  network_checks::checkpoint_changes_nothing(net, {2, 8, 8, 4}, condition(),
                                             [&](bool on) { net.config.checkpoint_layers = on; });
}

TEST_CASE("mmdit: names of the layers that adapters take") {
  const nn::MmDit<float> net(with_dual_attention());
  CHECK(network_checks::adapted_layers(net, {"add_q_proj", "to_add_out", "attn2.to_k"}) ==
        std::set<std::string>{"transformer_blocks.0.attn.add_q_proj", "transformer_blocks.1.attn.add_q_proj",
                              "transformer_blocks.0.attn.to_add_out", "transformer_blocks.0.attn2.to_k"});
}

TEST_CASE("mmdit: features, and samples of a flow with guidance") {
  const auto net = filled(nn::MmDit<float>(tiny()), 3, 0.05);
  const auto noise = ops::normal<float>({2, 8, 4, 4}, stream(1, "noise"));
  const auto text = condition();
  const auto features = net.features(Var<float>(noise), Tensor<float>::full({2}, 10), text);
  REQUIRE(features.size() == net.feature_channels().size());
  CHECK(features.size() == 2);
  CHECK(features[1].shape() == Shape{2, 4, 2, 16});
  const diffusion::Sampler<diffusion::Euler, diffusion::Flow, diffusion::ClassifierFree> guided({}, {}, {.scale = 3});
  const diffusion::Sampler<diffusion::Euler, diffusion::Flow> unguided;
  // Both branches are the same: guidance leaves the result as it is up to rounding.
  CHECK(golden::File::difference(guided(net, noise, diffusion::GuidedCondition{text, text}, 3),
                                 unguided(net, noise, text, 3)) < 1e-5);
}

TEST_CASE("mmdit: bfloat16 agrees with float32") {
  const auto wide = filled(nn::MmDit<float>(with_dual_attention()), 3, 0.05);
  nn::MmDit<bfloat16> net(with_dual_attention());
  nn::copy_parameters(wide, net);
  const auto x = ops::normal<float>({2, 8, 8, 4}, stream(1, "x"));
  const auto t = Tensor<float>::from({2}, {999, 3.5F});
  const auto c = condition();
  const auto narrow = [](const Tensor<float>& v) { return Var<bfloat16>(ops::cast<bfloat16>(v)); };
  const auto got = net(narrow(x), t, {narrow(c.tokens.value()), narrow(c.added.value())});
  CHECK(golden::File::difference(ops::cast<float>(got.value()), wide(Var<float>(x), t, c).value()) < 0.03);
}

TEST_CASE("mmdit: invalid configurations and inputs are named") {
  const auto refused = [](auto change, const char* text) {
    auto c = tiny();
    change(c);
    CHECK_THROWS_WITH_AS(nn::MmDit<float>{c}, doctest::Contains(text), OptionError);
  };
  refused([](auto& c) { c.layers = 0; }, "MmDitConfig: layers = 0");
  refused([](auto& c) { c.out_channels = 8; }, "out_channels = 8");
  refused([](auto& c) { c.pos_embed_max_size = 3; }, "pos_embed_max_size = 3");
  refused([](auto& c) { c.pos_embed_max_size = 0; }, "pos_embed_max_size = 0");
  refused([](auto& c) { c.pooled_channels = 0; }, "pooled_channels = 0");
  refused([](auto& c) { c.dual_attention_layers = {2}; }, "dual_attention_layers");

  nn::MmDit<float> net(tiny());
  nn::init_parameters(net, 1);
  const auto zeros = [](const Shape& shape) { return Var<float>(Tensor<float>::zeros(shape)); };
  const auto t = Tensor<float>::full({2}, 10);
  const auto c = condition();
  CHECK_THROWS_WITH_AS(net(zeros({2, 14, 8, 4}), t, c), doctest::Contains("7 x 4 patches, but the table"), ShapeError);
  CHECK_THROWS_WITH_AS(net(zeros({2, 8, 8, 4}), t, {c.tokens, {}}), doctest::Contains("pooled"), ShapeError);
  CHECK_THROWS_WITH_AS(net(zeros({2, 8, 8, 4}), t, {c.tokens, zeros({2, 10})}),
                       doctest::Contains("pooled text [2, 10]"), ShapeError);
  CHECK_THROWS_WITH_AS(net(zeros({2, 8, 8, 4}), t, {zeros({2, 3, 9}), c.added}), doctest::Contains("text_channels 10"),
                       ShapeError);
}
