// SPDX-License-Identifier: Apache-2.0
#include <hypersd/nn/models/unet.hpp>

#include <hypersd/autograd/jvp.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/lora.hpp>
#include <hypersd/nn/models/policy_network.hpp>
#include <hypersd/nn/models/two_time_unet.hpp>
#include <hypersd/nn/models/unet_cost.hpp>

#include "golden.hpp"
#include "network_checks.hpp"

using namespace hypersd;

namespace {

nn::UnetConfig tiny() {
  nn::UnetConfig c;
  c.block_out_channels = {8, 16};
  c.down_attention = {false, true};
  c.heads = {2, 2};
  c.cross_attention_dim = 12;
  c.norm_num_groups = 4;
  return c;
}
nn::UnetConfig tiny_xl() {
  auto c = tiny();
  c.down_attention = {true, true};
  c.heads = {1, 2};
  c.transformer_layers = {1, 2};
  c.use_linear_projection = true;
  c.addition_embedding_dim = 10 + 6 * 8;
  c.addition_time_embed_dim = 8;
  return c;
}

nn::UnetConfig guided() {
  nn::UnetConfig c;
  c.block_out_channels = {4};
  c.down_attention = {false};
  c.heads = {2};
  c.transformer_layers = {1};
  c.cross_attention_dim = 4;
  c.norm_num_groups = 2;
  c.time_cond_proj_dim = 16;
  return c;
}

nn::UnetCondition<float> condition(std::int64_t batch, const nn::UnetConfig& c) {
  return {Var<float>(ops::normal<float>({batch, 3, c.cross_attention_dim}, stream(1, "tokens"))),
          c.addition_embedding_dim
              ? Var<float>(ops::normal<float>({batch, c.addition_embedding_dim}, stream(1, "added")))
              : Var<float>{}};
}

}  // namespace

TEST_CASE("unet: parameter and tensor counts of Stable Diffusion, without memory for them") {
  const nn::Unet<float> sd15(nn::UnetConfig::sd15()), sdxl(nn::UnetConfig::sdxl());
  CHECK(nn::count_parameters(sd15) == nn::ParameterCount{859520964, 686});
  CHECK(nn::count_parameters(sdxl) == nn::ParameterCount{2567463684, 1680});
  CHECK(sd15.config().skip_channels().size() == 12);
  CHECK(sdxl.config().skip_channels().size() == 9);
}

TEST_CASE_TEMPLATE("unet: output and gradients of diffusers' UNet2DConditionModel", T, float, double) {
  // diffusers rounds the frequencies of the time features to float32, also in a double pass.
  const double tolerance = sizeof(T) == 4 ? 1e-4 : 3e-5;
  for (const bool xl : {false, true}) {
    INFO(xl);
    const golden::File file(xl ? "unet_sdxl" : "unet_sd15");
    nn::Unet<T> net(xl ? tiny_xl() : tiny());
    file.load(net);
    const Var<T> x(file.image<T>("in.x"), true), tokens(file.get<T>("in.context"), true);
    Var<T> added;
    if (xl)
      added =
          Var<T>(nn::text_time_features(file.get<T>("in.text_embeds"), file.get<T>("in.time_ids"), net.config()), true);
    const auto y = net(x, file.get<T>("in.t"), {tokens, added});
    CHECK(file.difference(y.value(), file.image<T>("out")) < tolerance);
    autograd::backward(y, file.image<T>("grad_out"));
    CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < tolerance);
    CHECK(file.difference(tokens.grad(), file.get<T>("grad_in.context")) < tolerance);
    if (xl) {
      const auto pooled = ops::slice_last(added.grad(), 0, 10);
      CHECK(file.difference(pooled, file.get<T>("grad_in.text_embeds")) < tolerance);
    }
    file.check_gradients(net, tolerance);
  }
}

TEST_CASE_TEMPLATE("unet: guidance as an input, output and gradients of diffusers' time_cond_proj", T, float, double) {
  const double tolerance = sizeof(T) == 4 ? 1e-4 : 3e-5;
  const golden::File file("unet_guided");
  nn::Unet<T> net(guided());
  file.load(net);
  const Var<T> x(file.image<T>("in.x"), true), tokens(file.get<T>("in.context"), true);
  const auto y = net(x, file.get<T>("in.t"), {tokens, {}}, file.get<T>("in.w"));
  CHECK(file.difference(y.value(), file.image<T>("out")) < tolerance);
  autograd::backward(y, file.image<T>("grad_out"));
  CHECK(file.difference(x.grad(), file.image<T>("grad_in.x")) < tolerance);
  file.check_gradients(net, tolerance);
}

TEST_CASE("unet: embedded guidance starts without effect; networks without that input throw") {
  nn::Unet<float> with(guided()), without([] {
    auto c = guided();
    c.time_cond_proj_dim = 0;
    return c;
  }());
  nn::init_parameters(with, 5);
  nn::init_parameters(without, 5);
  CHECK(nn::count_parameters(with).tensors == nn::count_parameters(without).tensors + 1);
  const autograd::NoGrad guard;
  const Var<float> x(ops::normal<float>({2, 4, 4, 4}, stream(1, "x")));
  const auto t = Tensor<float>::full({2}, 10), w = Tensor<float>::from({2}, {0.5F, 7});
  const auto c = condition(2, with.config());
  const auto plain = without(x, t, c).value().to_vector();
  CHECK(with(x, t, c).value().to_vector() == plain);
  CHECK(with(x, t, c, w).value().to_vector() == plain);
  CHECK_THROWS_WITH_AS(without(x, t, c, w), doctest::Contains("time_cond_proj_dim is 0"), OptionError);
  CHECK_THROWS_WITH_AS(with(x, t, c, Tensor<float>::full({3}, 1)), doctest::Contains("guidance weights"), ShapeError);
  auto broken = guided();
  broken.time_cond_proj_dim = 3;
  CHECK_THROWS_WITH_AS(nn::Unet<float>{broken}, doctest::Contains("time_cond_proj_dim = 3"), OptionError);
}

TEST_CASE("unet: odd sizes; samples of a batch are independent") {
  nn::Unet<float> net(tiny_xl());
  nn::init_parameters(net, 3);
  const autograd::NoGrad guard;
  const Var<float> x(ops::normal<float>({2, 7, 5, 4}, stream(1, "x")));
  const auto t = Tensor<float>::from({2}, {999, 20.5F});
  const auto c = condition(2, net.config());
  const auto y = net(x, t, c);
  CHECK(y.shape() == x.shape());
  for (std::int64_t i = 0; i < 2; ++i) {
    const auto one = net(autograd::slice_batch(x, i, i + 1), t.slice(i, i + 1),
                         {autograd::slice_batch(c.tokens, i, i + 1), autograd::slice_batch(c.added, i, i + 1)});
    CHECK(golden::File::difference(one.value(), y.value().slice(i, i + 1)) < 1e-5);
  }
  const auto both = nn::concat_batch(c, c);
  CHECK(both.tokens.dim(0) == 4);
  CHECK(both.added.dim(0) == 4);
}

TEST_CASE("unet: features of the encoder") {
  nn::Unet<float> net(tiny());
  nn::init_parameters(net, 3);
  const Var<float> x(ops::normal<float>({2, 8, 8, 4}, stream(1, "x")));
  const auto features = net.features(x, Tensor<float>::full({2}, 10), condition(2, net.config()));
  REQUIRE(features.size() == net.feature_channels().size());
  CHECK(features[0].shape() == Shape{2, 8, 8, 8});
  CHECK(features[1].shape() == Shape{2, 4, 4, 16});
  CHECK(features[2].shape() == Shape{2, 4, 4, 16});
  for (std::size_t i = 0; i < features.size(); ++i) CHECK(features[i].dim(3) == net.feature_channels()[i]);
}

TEST_CASE("unet: jvp along sample and time, adapters included, is the central difference and fits the gradient") {
  nn::Unet<double> net(tiny_xl());
  nn::init_parameters(net, 3);
  const auto of = [](const Shape& shape, const char* name) { return ops::normal<double>(shape, stream(5, name)); };
  const nn::UnetCondition<double> c{Var<double>(of({2, 3, net.config().cross_attention_dim}, "tokens")),
                                    Var<double>(of({2, net.config().addition_embedding_dim}, "added"))};
  network_checks::jvp_fits(net, {2, 8, 6, net.config().in_channels}, c);
}

TEST_CASE(
    "unet: a student with a second time starts as the network, whatever the end, and can be derived by both times") {
  nn::Unet<double> net(tiny());
  nn::init_parameters(net, 3);
  const auto student = nn::TwoTimeUnet<double>::student_of(net, 4);
  const auto of = [](const Shape& shape, const char* name) { return ops::normal<double>(shape, stream(5, name)); };
  const nn::UnetCondition<double> c{Var<double>(of({2, 3, net.config().cross_attention_dim}, "tokens")), {}};
  const auto x = of({2, 8, 6, net.config().in_channels}, "x");
  const auto t = Tensor<double>::from({2}, {600.5, 30}), end = Tensor<double>::from({2}, {200, 3});
  const nn::Interval<double> interval{t, end};
  const auto expected = net(Var<double>(x), t, c).value(), got = student(Var<double>(x), interval, c).value();
  for (std::int64_t i = 0; i < got.size(); ++i) CHECK(got[i] == expected[i]);
  CHECK(nn::parameter_count(student) == nn::parameter_count(net) + nn::parameter_count(student.end_embedding));

  // Once the new layer is trained, the end counts, and end = t is the network with one time.
  auto trained = nn::deep_copy(student);
  trained.end_embedding.linear_2.weight.assign(of({32, 32}, "weight"));
  const auto moved = trained(Var<double>(x), interval, c).value();
  double change = 0;
  for (std::int64_t i = 0; i < got.size(); ++i) change = std::max(change, std::abs(moved[i] - got[i]));
  CHECK(change > 1e-3);
  const auto same = trained(Var<double>(x), nn::Interval<double>{t, t}, c).value();
  const auto own = trained(Var<double>(x), nn::Times<double>(t), c).value();
  for (std::int64_t i = 0; i < got.size(); ++i) CHECK(same[i] == own[i]);

  const auto dt = Tensor<double>::from({2}, {0.7, -0.2}), de = Tensor<double>::from({2}, {-0.3, 0.4});
  const auto predict = [&](const Var<double>& a, const Var<double>& b) {
    return trained(Var<double>(x), nn::Interval<double>{a, b}, c);
  };
  const auto out = autograd::jvp(predict, autograd::Dual{t, dt}, autograd::Dual{end, de}).tangent;
  const double h = 1e-4;
  const auto at = [&](double s) {
    const autograd::NoGrad guard;
    const ops::LinearCombination<double> go{1, s};
    return predict(Var<double>(ops::map(go, t, dt)), Var<double>(ops::map(go, end, de))).value();
  };
  const auto ahead = at(h), behind = at(-h);
  for (std::int64_t i = 0; i < out.size(); ++i)
    CHECK(std::abs(out[i] - (ahead[i] - behind[i]) / (2 * h)) < 1e-7 * (1 + std::abs(out[i])));
}

TEST_CASE("unet: a student with several predictions begins with its network's in each, and they part") {
  nn::Unet<double> net(tiny());
  nn::init_parameters(net, 3);
  auto student = nn::PolicyNetwork<nn::Unet<double>>::student_of(net, 3);
  network_checks::policies_fit(
      net, student, nn::UnetCondition<double>{Var<double>(ops::normal<double>({2, 3, 12}, stream(5, "c"))), {}},
      student.net.conv_out);
  CHECK(nn::multiply_adds(student.net.config(), 8, 8, 3) - nn::multiply_adds(net.config(), 8, 8, 3) ==
        8 * 8 * 9 * 8 * 2 * 4);
  nn::add_lora(net, {.rank = 2});
  CHECK_THROWS_WITH_AS(nn::PolicyNetwork<nn::Unet<double>>::student_of(net, 3), doctest::Contains("merge_lora"),
                       OptionError);
}

TEST_CASE("unet: a student with a second time may take guidance weights, which first have no effect") {
  nn::Unet<double> net(tiny());
  nn::init_parameters(net, 3);
  auto student = nn::TwoTimeUnet<double>::student_of(net, 4, 16);
  CHECK(nn::count_parameters(student).tensors == nn::count_parameters(net).tensors + 5);
  const auto of = [](const Shape& shape, const char* name) { return ops::normal<double>(shape, stream(5, name)); };
  const nn::UnetCondition<double> c{Var<double>(of({2, 3, 12}, "tokens")), {}};
  const auto x = of({2, 8, 6, 4}, "x"), t = Tensor<double>::from({2}, {600.5, 30}), w = of({2}, "w");
  const auto want = net(Var<double>(x), t, c).value().to_vector();
  const auto told = [&] { return student(Var<double>(x), nn::Interval<double>{t, t}, c, w).value().to_vector(); };
  CHECK(told() == want);
  auto& layer = *student.unet.encoder.time_embedding.cond_proj;
  layer.weight.assign(of(layer.weight.shape(), "weight"));
  CHECK(told() != want);
  // One that takes weights already keeps its own layer.
  nn::Unet<double> other(guided());
  nn::init_parameters(other, 3);
  CHECK(nn::TwoTimeUnet<double>::student_of(other, 4, 8).config().time_cond_proj_dim == 16);
}

TEST_CASE("unet: gradient checkpointing changes only the order of sums") {
  for (const bool attention : {true, false}) {
    auto config = tiny_xl();
    config.down_attention = {attention, attention};
    config.mid_attention = attention;
    if (!attention) config.cross_attention_dim = 0;
    nn::Unet<float> net(config);
    nn::init_parameters(net, 3);
    const Var<float> x(ops::normal<float>(Shape{1, 8, 8, 4}, stream(6, "x")), true);
    const auto t = Tensor<float>::from({1}, {500});
    nn::UnetCondition<float> c{{},
                               Var<float>(ops::normal<float>(Shape{1, config.addition_embedding_dim}, stream(6, "a")))};
    if (attention) c.tokens = Var<float>(ops::normal<float>(Shape{1, 3, 12}, stream(6, "tokens")));
    const auto gradients = [&](bool checkpoint) {
      net.encoder.config.checkpoint_layers = checkpoint;
      x.node()->grad = {};
      for (auto& p : nn::parameters(net)) p.var.zero_grad();
      const auto y = net(x, t, c);
      autograd::backward(y, ops::normal<float>(y.shape(), stream(6, "w")));
      std::vector<float> all = y.value().to_vector(), of_x = x.grad().to_vector();
      all.insert(all.end(), of_x.begin(), of_x.end());
      for (auto& p : nn::parameters(net)) {
        REQUIRE(p.var.grad().defined());
        const auto g = p.var.grad().to_vector();
        all.insert(all.end(), g.begin(), g.end());
      }
      return all;
    };
    const auto with = gradients(true), without = gradients(false);
    REQUIRE(with.size() == without.size());
    double worst = 0, largest = 0;
    for (std::size_t i = 0; i < with.size(); ++i) {
      if (i < 8 * 8 * 4) CHECK(with[i] == without[i]);  // the prediction
      worst = std::max(worst, std::abs(static_cast<double>(with[i]) - static_cast<double>(without[i])));
      largest = std::max(largest, std::abs(static_cast<double>(without[i])));
    }
    CHECK(worst < 1e-6 * largest);
  }
}

TEST_CASE("unet: the second call allocates nothing") {
  nn::Unet<float> net(nn::UnetConfig::fashion());
  nn::init_parameters(net, 1);
  const auto call = [&] {
    const autograd::NoGrad guard;
    const Var<float> x(ops::normal<float>({2, 64, 64, 4}, stream(1, "x")));
    (void)net(x, Tensor<float>::full({2}, 10), condition(2, net.config()));
  };
  const int before = num_threads();
  set_num_threads(1);  // with more, which tasks run at once is a matter of chance
  Memory<Cpu>::release_pool();
  detail::CpuPool& pool = detail::CpuPool::instance();
  const std::size_t start = pool.misses();
  call();
  const std::size_t first = pool.misses();
  CHECK(first > start);
  call();
  CHECK(pool.misses() == first);
  set_num_threads(before);
}

TEST_CASE("unet: multiply-adds are those that PyTorch counts for diffusers' networks") {
  // Half of `FlopCounterMode` (torch 2.15) for UNet2DConditionModel with these settings, by tests/golden/flops.py.
  CHECK(2 * nn::multiply_adds(nn::UnetConfig::sd15(), 64, 64, 77) == 803273441280);
  nn::UnetConfig c;
  c.down_attention = {false, true};
  CHECK(2 * nn::multiply_adds(c, 8, 8, 5) == 41385984);
  CHECK(2 * nn::multiply_adds(c, 7, 7, 3) == 37405184);  // levels of 7 and 4
  CHECK(2 * nn::multiply_adds(c, 10, 10, 8) == 64902144);
  c.layers_per_block = 2;
  c.block_out_channels = {32, 48, 64};
  c.down_attention = {false, true, true};
  c.heads = c.transformer_layers = {1, 2, 2};
  CHECK(2 * nn::multiply_adds(c, 12, 12, 8) == 134174208);
  c.heads = {4};
  CHECK_THROWS_AS(nn::multiply_adds(c, 8, 8, 5), OptionError);
}

TEST_CASE("unet: wrong shapes throw and name both shapes") {
  nn::Unet<float> net(tiny_xl());
  const Var<float> x(Tensor<float>::zeros({2, 8, 8, 4}));
  const auto t = Tensor<float>::full({2}, 10);
  const auto c = condition(2, net.config());
  CHECK_THROWS_WITH_AS(net(x, t, c), doctest::Contains("no values yet"), Error);
  nn::init_parameters(net, 1);
  CHECK_THROWS_AS(net(Var<float>(Tensor<float>::zeros({2, 8, 8, 3})), t, c), ShapeError);
  CHECK_THROWS_AS(net(x, Tensor<float>::full({3}, 10), c), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, t, {}), doctest::Contains("no tokens"), ShapeError);
  CHECK_THROWS_WITH_AS(net(x, t, {c.tokens, {}}), doctest::Contains("additional"), ShapeError);
  CHECK_THROWS_AS(net(x, t, condition(3, net.config())), ShapeError);

  auto broken = tiny();
  broken.heads = {2};
  CHECK_THROWS_WITH_AS(nn::Unet<float>{broken}, doctest::Contains("heads"), OptionError);
  broken = tiny();
  broken.norm_num_groups = 5;
  CHECK_THROWS_WITH_AS(nn::Unet<float>{broken}, doctest::Contains("groups"), OptionError);
  broken = tiny();
  broken.block_out_channels = {};
  CHECK_THROWS_AS(nn::Unet<float>{broken}, OptionError);
}
