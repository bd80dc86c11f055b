// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/trajectory_critic.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/linear.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <hypersd/nn/state.hpp>
#include <map>

using namespace hypersd;
using namespace hypersd::distill;
using diffusion::Unconditional;

namespace {

diffusion::Discrete<> process() { return diffusion::noise_table<diffusion::ScaledLinear>(); }

/// eps = w x + b.
struct Net {
  using value_type = double;
  using device_type = Cpu;
  nn::Linear<double> out{2, 2};
  Net() { nn::init_parameters(*this, 3, "net"); }
  Var<double> operator()(const Var<double>& x, const Tensor<double>&, const Unconditional&) const { return out(x); }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "out", out);
  }
};

template <class Model>
std::map<std::string, std::vector<double>> state(const Model& model) {
  std::map<std::string, std::vector<double>> out;
  model.visit_state(
      [&](const std::string& name, const auto& tensor) {
        for (const auto v : tensor.span()) out[name].push_back(static_cast<double>(v));
      },
      "");
  return out;
}

/// Two feature maps of an image: itself and its square.
struct Features {
  Var<double> scale{Tensor<double>::ones(Shape{2})};
  std::vector<Var<double>> features(const Var<double>& x, const Tensor<double>&, const Unconditional&) const {
    const auto y = autograd::mul(x, ops::per_channel(scale));
    return {y, autograd::mul(y, y)};
  }
  template <class F>
  void visit(F&&, const std::string& = "") {}
};
using Heads = nn::Discriminator<double>;
using Critic = TrajectoryCritic<Features, Heads>;

Heads heads(std::int64_t channels) {
  Heads h(nn::DiscriminatorConfig{.feature_channels = {channels, channels}, .hidden = 8, .norm_num_groups = 2});
  nn::init_parameters(h, 3, "heads");
  return h;
}
Tensor<double> images(double mean, std::uint64_t seed) {
  auto x = ops::normal<double>(Shape{8, 4, 4, 2}, stream(seed, "images"));
  for (double& v : x.span()) v = 0.3 * v + mean;
  return x;
}
const Tensor<double> times = Tensor<double>::full(Shape{8}, 499.0);
const Unconditional none;

}  // namespace

TEST_CASE("the fake score learns the distribution that it is shown") {
  // Data N(0, s^2) with s = 0.5: the best linear noise prediction has one sign and falls in loss until it is found.
  Net net;
  FakeScore<Net> fake(net, process(), 2e-2);
  const auto loss = [&] {
    const auto x0 = ops::normal<double>(Shape{512, 2}, stream(7, "x0"));
    const auto z = ops::normal<double>(Shape{512, 2}, stream(7, "z"));
    const diffusion::Times t(512, 500);
    const auto x = diffusion::add_noise(process(), x0, z, t);
    return autograd::mse(fake(Var<double>(x), diffusion::time_tensor<double>(process(), t), none), z).item();
  };
  const double before = loss();
  for (std::int64_t i = 0; i < 150; ++i)
    fake.learn(ops::normal<double>(Shape{64, 2}, stream(8, "data", static_cast<std::uint64_t>(i))), none, {8, i});
  MESSAGE("noise prediction: loss " << before << " -> " << loss());
  CHECK(loss() < 0.6 * before);
}

TEST_CASE(
    "distribution matching trains its fake score the given number of times per iteration; the student's loss has no "
    "gradient of it") {
  Net student, shared;
  nn::set_requires_grad(student, true);
  FakeScore<Net> fake(shared, process());
  const auto before = state(fake);
  const Batch<double, Cpu, Unconditional> batch{ops::normal<double>(Shape{16, 2}, stream(1, "data")), {}};
  const Dmd<FakeScore<Net>> dmd(process(), &fake, {.guidance = 1, .learn_per_update = 3});
  const auto teacher = nn::deep_copy(student);
  (void)dmd.loss(student, teacher, student, batch, {1, 0});
  CHECK(state(fake) == before);  // a loss trains nothing
  dmd.learn(student, teacher, student, batch, {1, 0});
  const auto after = state(fake);
  const auto result = dmd.loss(student, teacher, student, batch, {1, 0});
  CHECK(after.size() == before.size());
  CHECK(after.at("out.weight") != before.at("out.weight"));
  CHECK(after.at("adamw.out.weight.steps") == std::vector<double>{3});
  autograd::backward(result.loss);
  CHECK(state(fake) == after);
  for (auto& p : nn::parameters(shared)) CHECK(!p.var.grad().defined());
  for (auto& p : nn::parameters(student)) CHECK(p.var.grad().defined());
  // The same iteration from the same state is the same, bit by bit.
  Net copy;
  FakeScore<Net> again(copy, process());
  const Dmd<FakeScore<Net>> same(process(), &again, dmd.options);
  same.learn(student, teacher, student, batch, {1, 0});
  CHECK(same.loss(student, teacher, student, batch, {1, 0}).loss.item() == result.loss.item());
  CHECK(state(again) == after);
  // Learning twice is two updates.
  same.learn(student, teacher, student, batch, {1, 1});
  CHECK(state(again).at("adamw.out.weight.steps") == std::vector<double>{6});
}

TEST_CASE("an update that throws leaves weights that require no gradient and have none") {
  Net shared;
  AuxiliaryNetwork<Net> net(shared, {}, 1e-2);
  struct Stop {};
  const auto before = state(net);
  const auto loss = [&] { return autograd::mean(net.network()(Var<double>(images(0, 1)), times, none)); };
  CHECK_THROWS_AS(net.update(loss, [](const auto&) { throw Stop{}; }), Stop);
  CHECK(state(net) == before);
  for (auto& p : nn::parameters(shared)) {
    CHECK(!p.var.grad().defined());
    CHECK(!p.var.requires_grad());
  }
}

TEST_CASE("a trajectory critic learns which end belongs to which beginning; relaxed, it cannot") {
  // Ends of both kinds look alike; the real ones are their beginnings, the false ones those of another image.
  const auto gap = [](bool relaxed) {
    Critic critic(Features{}, heads(4), relaxed, 1e-2);
    const auto sign = [](std::uint64_t seed) { return seed % 2 ? 0.6 : -0.6; };
    const auto mean = [&](const Tensor<double>& x, const Tensor<double>& begun) {
      return autograd::mean(critic(Var<double>(x), times, {begun, times}, none)).item();
    };
    for (std::uint64_t i = 0; i < 80; ++i)
      critic.learn(images(-sign(i), 2 * i), images(sign(i), 2 * i + 1), times, {images(sign(i), 3 * i), times}, none);
    const auto up = images(0.6, 1001), down = images(-0.6, 1002);
    return mean(up, up) + mean(down, down) - mean(up, down) - mean(down, up);
  };
  const double both = gap(false), alone = gap(true);
  MESSAGE("logits of pairs that belong together minus others: " << both << ", relaxed " << alone);
  CHECK(both > 1);
  CHECK(alone == 0);
}

TEST_CASE("a trajectory critic's loss has a gradient of the end only; its update changes the heads only") {
  Heads shared = heads(4);
  Critic critic(Features{}, shared, false, 1e-2);
  const auto before = state(critic);
  const auto begun = images(0.2, 3);
  critic.learn(images(-0.5, 1), images(0.5, 2), times, {begun, times}, none);
  const auto after = state(critic);
  CHECK(after != before);
  const Var<double> x(images(-0.5, 1), true);
  autograd::backward(non_saturating(critic(x, times, {begun, times}, none)));
  CHECK(x.grad().defined());
  CHECK(state(critic) == after);
  for (auto& p : nn::parameters(shared)) {
    CHECK(!p.var.grad().defined());
    CHECK(!p.var.requires_grad());
  }
}

TEST_CASE("a feature critic uses its form for the student's loss too") {
  FeatureCritic<Features, Heads, NonSaturating> critic(Features{}, heads(2));
  const Where<double, Cpu, Unconditional> where{times, none, {}};
  const Var<double> x(images(0.1, 1));
  const auto distance = Adversarial<decltype(critic)>{&critic}(x, images(0.2, 2), where);
  CHECK(distance.item() == non_saturating(critic(x, times, none)).item());
}

TEST_CASE("auxiliary network: weights held in 16 bits are widened, all of them are trained") {
  nn::Linear<float> layer(3, 2);
  layer.weight.keep(ConstantTensor(Tensor<half>::from({2, 3}, {half(1), half(2), half(3), half(4), half(5), half(6)})));
  layer.bias.assign(Tensor<float>::zeros({2}));
  distill::AuxiliaryNetwork<nn::Linear<float>> net(layer, {.weight_decay = 0}, 0.5);
  std::vector<std::string> names;
  net.visit_state([&](const std::string& name, const auto&) { names.push_back(name); }, "");
  CHECK(std::count(names.begin(), names.end(), "weight") == 1);
  CHECK(std::count(names.begin(), names.end(), "bias") == 1);
  net.update([&] { return autograd::sum(net.network()(Var<float>(Tensor<float>::ones({1, 3})))); });
  // The first step of Adam moves each number by the learning rate against the sign of its gradient, 1 here.
  for (std::int64_t i = 0; i < 6; ++i)
    CHECK(net.network().weight.value()[i] == doctest::Approx(static_cast<double>(i) + 0.5));
  CHECK(layer.weight.kept().defined());
}
