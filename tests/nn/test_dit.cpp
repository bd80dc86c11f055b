// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/dit.hpp>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/nn/mixed_precision.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"
#include "network_checks.hpp"

using namespace hypersd;
using network_checks::filled;

namespace {

nn::DitConfig tiny() {
  nn::DitConfig c;
  c.out_channels = 8;
  c.heads = 2;
  c.head_dim = 8;
  c.layers = 2;
  return c;
}
nn::DitConfig with_rms_norms() {
  auto c = tiny();
  c.qk_norm = c.rms_norm = true;
  return c;
}
Tensor<std::int32_t> labels() { return Tensor<std::int32_t>::from({2}, {3, 10}); }

}  // namespace

TEST_CASE("dit: parameter and tensor counts of DiT-XL/2 in diffusers, without memory for them") {
  CHECK(nn::count_parameters(nn::Dit<float>(nn::DitConfig::xl2())) == nn::ParameterCount{749826464, 538});
}

TEST_CASE_TEMPLATE("dit: output and gradients of diffusers' DiTTransformer2DModel, other sizes too", T, float, double) {
  // diffusers rounds the frequencies of the time features to float32, also in a double pass: angles of 999 radians are
  // off by up to 6e-5.
  const double tolerance = sizeof(T) == 4 ? 1e-4 : 6e-5;
  const golden::File file("dit");
  nn::Dit<T> net(tiny());
  file.load(net);
  const auto ids = file.get<std::int32_t>("in.labels");
  const Var<T> x(file.image<T>("in.x"), true);
  const auto y = net.with_variance(x, file.get<T>("in.t"), ids);
  CHECK(file.difference(y.value(), file.image<T>("out")) < tolerance);
  const auto mean = net(x, file.get<T>("in.t"), ids).value();
  CHECK(mean.to_vector() == ops::slice_last(y.value(), 0, 4).to_vector());
  autograd::backward(y, file.image<T>("grad_out"));
  CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < tolerance);
  file.check_gradients(net, tolerance);

  const Var<T> other(file.image<T>("other.x"));
  REQUIRE(other.dim(1) == 12);
  CHECK(file.difference(net.with_variance(other, file.get<T>("in.t"), ids).value(), file.image<T>("other.out")) <
        tolerance);
}

TEST_CASE("dit: a fresh network predicts 0 and trains its last layer first") {
  nn::Dit<float> net(tiny());
  nn::init_parameters(net, 3);
  const auto y = net.with_variance(Var<float>(ops::normal<float>({2, 8, 8, 4}, stream(1, "x"))),
                                   Tensor<float>::full({2}, 300), labels());
  for (std::int64_t i = 0; i < y.size(); ++i) REQUIRE(y.value()[i] == 0);
  autograd::backward(y, Tensor<float>::ones(y.shape()));
  for (const auto& p : nn::parameters(net)) {
    bool moves = false;
    for (const float g : p.var.grad().to_vector()) moves = moves || g != 0;
    INFO(p.name);
    CHECK(moves == (p.name.rfind("proj_out_2.", 0) == 0));
  }
}

TEST_CASE("dit: gradients and tangents of a block, with and without RMS norms") {
  for (const auto& config : {tiny(), with_rms_norms()}) {
    auto block = filled(nn::DitBlock<double>(config));
    const auto result = testing::gradcheck([&](const auto& in) { return block(in[0], in[1]); },
                                           {numbers::normal({2, 3, 16}, "h"), numbers::normal({2, 96}, "m")}, 1e-7);
    CHECK_MESSAGE(result.ok, result.message);
  }
}

TEST_CASE("dit: jvp along sample and time, adapters included, is the central difference and fits the gradient") {
  for (const auto& config : {tiny(), with_rms_norms()})
    network_checks::jvp_fits(filled(nn::Dit<double>(config)), {2, 4, 6, 4}, labels());
}

TEST_CASE("dit: a fresh network learns to attend to other pixels") {
  auto c = tiny();
  c.in_channels = c.out_channels = c.patch_size = c.layers = c.classes = 1;
  c.sample_size = 2;
  const auto one_class = Tensor<std::int32_t>::full({16}, 0);
  CHECK(network_checks::share_left_of_pixelwise(nn::Dit<float>(c), one_class, 200, 1e-2) < 0.7);
}

TEST_CASE("dit: RMS norms of queries and keys bound the scores") {
  auto c = tiny();
  c.qk_norm = true;
  CHECK(nn::count_parameters(nn::Dit<float>(c)).tensors == nn::count_parameters(nn::Dit<float>(tiny())).tensors + 4);
  nn::Attention<double> attention = filled(nn::Attention<double>(8, 2, 0, false, true));
  const auto x = numbers::normal({1, 5, 8}, "x");
  const auto before = attention(Var<double>(x)).value();
  attention.to_q.weight.set_value(ops::map(ops::Affine<double>{1e4, 0}, attention.to_q.weight.value()));
  CHECK(numbers::distance(attention(Var<double>(x)).value(), before) < 1e-6);
}

TEST_CASE("dit: gradient checkpointing changes only the order of sums") {
  auto net = filled(nn::Dit<float>(tiny()));
  network_checks::checkpoint_changes_nothing(net, {2, 8, 8, 4}, labels(),
                                             [&](bool on) { net.config.checkpoint_layers = on; });
}

TEST_CASE("dit: names of the layers that adapters take") {
  nn::Dit<float> net(tiny());
  CHECK(network_checks::adapted_layers(net, {"to_q", "ff.net.0.proj", "proj_out_2"}) ==
        std::set<std::string>{"transformer_blocks.0.attn1.to_q", "transformer_blocks.0.ff.net.0.proj",
                              "transformer_blocks.1.attn1.to_q", "transformer_blocks.1.ff.net.0.proj", "proj_out_2"});
  CHECK(network_checks::adapted_layers(net, {}).size() == 3 + 2 * 9);
}

TEST_CASE("dit: features are those of a critic's heads") {
  auto c = tiny();
  c.layers = 7;
  CHECK(c.taps() == std::vector<std::int64_t>{1, 3, 6});
  c.feature_blocks = {0, 6};
  const auto net = filled(nn::Dit<float>(c));
  const Var<float> x(ops::normal<float>({2, 8, 4, 4}, stream(1, "x")));
  const auto features = net.features(x, Tensor<float>::full({2}, 10), labels());
  REQUIRE(features.size() == 2);
  CHECK(net.feature_channels() == std::vector<std::int64_t>{16, 16});
  CHECK(features[0].shape() == Shape{2, 4, 2, 16});
  CHECK(numbers::distance(features[0].value(), features[1].value()) > 0.01);
  nn::Discriminator<float> heads({.feature_channels = net.feature_channels(), .hidden = 8});
  nn::init_parameters(heads, 1);
  CHECK(heads(features).shape() == Shape{2, 2});
}

TEST_CASE("dit: a sampler of a flow draws with guidance by the null class") {
  auto c = tiny();
  const auto net = filled(nn::Dit<float>(c), 3, 0.1);
  CHECK(net.null_condition(labels()).to_vector() == std::vector<std::int32_t>{10, 10});
  const diffusion::Sampler<diffusion::Euler, diffusion::Flow> unguided;
  const diffusion::Sampler<diffusion::Euler, diffusion::Flow, diffusion::ClassifierFree> sampler({}, {}, {.scale = 2});
  const auto noise = ops::normal<float>({2, 8, 8, 4}, stream(1, "noise"));
  const auto by_null = sampler(net, noise, labels(), 3);
  const auto given = sampler(net, noise, diffusion::GuidedCondition{labels(), Tensor<std::int32_t>::full({2}, 10)}, 3);
  CHECK(by_null.to_vector() == given.to_vector());
  // The second sample has the null class: guidance leaves it as it is up to rounding.
  const auto plain = unguided(net, noise, labels(), 3);
  CHECK(numbers::distance(by_null.slice(1, 2), plain.slice(1, 2)) < 1e-5);
  CHECK(numbers::distance(by_null.slice(0, 1), plain.slice(0, 1)) > 1e-3);
}

TEST_CASE("dit: bfloat16 agrees with float32") {
  const auto wide = filled(nn::Dit<float>(with_rms_norms()), 3, 0.05);
  nn::Dit<bfloat16> net(with_rms_norms());
  nn::copy_parameters(wide, net);
  const auto x = ops::normal<float>({2, 8, 8, 4}, stream(1, "x"));
  const auto t = Tensor<float>::from({2}, {999, 3.5F});
  const auto want = wide(Var<float>(x), t, labels()).value();
  const auto got = ops::cast<float>(net(Var<bfloat16>(ops::cast<bfloat16>(x)), t, labels()).value());
  CHECK(golden::File::difference(got, want) < 0.03);
  const auto mixed = nn::MixedPrecision(net)(Var<float>(x), t, labels());
  CHECK(numbers::distance(mixed.value(), got) == 0);
}

TEST_CASE("dit: invalid configurations and inputs are named") {
  const auto refused = [](auto change, const char* text) {
    auto c = tiny();
    change(c);
    CHECK_THROWS_WITH_AS(nn::Dit<float>{c}, doctest::Contains(text), OptionError);
  };
  refused([](auto& c) { c.heads = 0; }, "DitConfig: heads = 0");
  refused([](auto& c) { c.head_dim = 7; }, "14 channels (heads times head_dim) is not divisible by 4");
  refused([](auto& c) { c.layers = 0; }, "layers = 0");
  refused([](auto& c) { c.patch_size = 9; }, "patch_size = 9");
  refused([](auto& c) { c.out_channels = 5; }, "out_channels = 5");
  refused([](auto& c) { c.classes = 0; }, "classes = 0");
  refused([](auto& c) { c.freq_shift = 128; }, "freq_shift = 128");
  refused([](auto& c) { c.feature_blocks = {1, 1}; }, "feature_blocks");
  refused([](auto& c) { c.feature_blocks = {2}; }, "feature_blocks");

  nn::Dit<float> net(tiny());
  const Var<float> x(Tensor<float>::zeros({2, 8, 8, 4}));
  const auto t = Tensor<float>::full({2}, 10);
  CHECK_THROWS_WITH_AS(net(x, t, labels()), doctest::Contains("no values yet"), Error);
  nn::init_parameters(net, 1);
  CHECK_THROWS_WITH_AS(net(Var<float>(Tensor<float>::zeros({2, 8, 7, 4})), t, labels()),
                       doctest::Contains("divisible by 2"), ShapeError);
  CHECK_THROWS_AS(net(Var<float>(Tensor<float>::zeros({2, 8, 8, 3})), t, labels()), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, Tensor<float>::full({3}, 10), labels()), doctest::Contains("DiT: times [3]"), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, t, Tensor<std::int32_t>::full({3}, 1)), doctest::Contains("DiT: labels [3]"), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, t, Tensor<std::int32_t>::full({2}, 11)), doctest::Contains("id 11"), OptionError);
}
