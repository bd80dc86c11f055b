// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <hypersd/distill/distances/hybrid.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/distill/feature_critic.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/discriminator.hpp>
#include <map>

#include "numbers.hpp"

using namespace hypersd;
using namespace hypersd::distill;

namespace {

struct None {};
using At = Where<double, Cpu, None>;

/// Two feature maps of an image: itself and its square, through a frozen scale.
struct Network {
  Var<double> scale{Tensor<double>::ones(Shape{2})};
  std::vector<Var<double>> features(const Var<double>& x, const Tensor<double>&, const None&) const {
    const auto y = autograd::mul(x, ops::per_channel(scale));
    return {y, autograd::mul(y, y)};
  }
};
using Heads = nn::Discriminator<double>;
using Critic = FeatureCritic<Network, Heads>;

Heads heads() {
  Heads h(nn::DiscriminatorConfig{.feature_channels = {2, 2}, .hidden = 8, .norm_num_groups = 2});
  nn::init_parameters(h, 3, "heads");
  return h;
}
const None none;
const At where{Tensor<double>::zeros(Shape{8}), none};

Tensor<double> images(double mean, std::uint64_t seed) {
  auto x = ops::normal<double>(Shape{8, 4, 4, 2}, stream(seed, "images"));
  for (double& v : x.span()) v = 0.3 * v + mean;
  return x;
}
double judged(const Critic& critic, const Tensor<double>& x) {
  return autograd::mean(critic(Var<double>(x), where.t, none)).item();
}
std::map<std::string, std::vector<double>> state(const Critic& critic) {
  std::map<std::string, std::vector<double>> out;
  critic.visit_state(
      [&](const std::string& name, const auto& tensor) {
        for (const auto v : tensor.span()) out[name].push_back(static_cast<double>(v));
      },
      "critic.");
  return out;
}

}  // namespace

TEST_CASE("a critic learns to tell real from fake, and pulls the student towards real") {
  Critic critic(Network{}, heads(), 1e-2);
  for (std::uint64_t step = 0; step < 60; ++step)
    critic.learn(images(-0.5, 2 * step), images(0.5, 2 * step + 1), where.t, none);
  CHECK(judged(critic, images(0.5, 1001)) > 0.3);
  CHECK(judged(critic, images(-0.5, 1002)) < -0.3);
  // Gradient descent on the student's x by the loss of the frozen critic moves it to the real side.
  Tensor<double> x = images(-0.1, 1003);
  const double before = judged(critic, x);
  for (int step = 0; step < 20; ++step) {
    const Var<double> v(x, true);
    autograd::backward(autograd::affine(autograd::mean(critic(v, where.t, none)), -1.0));
    const auto g = v.grad();
    for (std::int64_t i = 0; i < x.size(); ++i) x[i] -= 20 * g[i];
  }
  CHECK(judged(critic, x) > before + 0.5);
}

TEST_CASE("a judgement trains nothing and sends the student a gradient, the heads none; learning is one update") {
  Heads shared = heads();
  Critic critic(Network{}, shared, 1e-2);
  const auto before = state(critic);
  const Var<double> x(images(-0.5, 1), true);
  const Adversarial<Critic> adversarial{&critic};
  (void)adversarial(x, images(0.5, 2), where);
  CHECK(state(critic) == before);
  adversarial.learn(x.value(), images(0.5, 2), where);
  const auto after = state(critic);
  CHECK(after.size() == before.size());
  CHECK(after != before);
  CHECK(after.at("critic.adamw.heads.0.conv_out.bias.steps") == std::vector<double>{1});
  autograd::backward(adversarial(x, images(0.5, 2), where));
  CHECK(state(critic) == after);
  REQUIRE(x.grad().defined());
  for (auto& p : nn::parameters(shared)) {
    CHECK(!p.var.grad().defined());
    CHECK(!p.var.requires_grad());
  }
  adversarial.learn(x.value(), images(0.5, 2), where);
  CHECK(state(critic).at("critic.adamw.heads.0.conv_out.bias.steps") == std::vector<double>{2});
}

TEST_CASE("with weight 0 the critic is not trained; the scale of an elementwise distance does not apply to it") {
  Critic critic(Network{}, heads(), 1e-2), same(Network{}, heads(), 1e-2);
  const auto before = state(critic);
  const Var<double> x(images(-0.5, 1), true);
  const auto y = images(0.5, 2);
  const Hybrid<Mse, Adversarial<Critic>> early{{}, {&critic}, hybrid_weights(8)};
  CHECK(!early.learns());
  early.learn(x.value(), y, where);
  (void)early(x, y, where);
  CHECK(state(critic) == before);
  const At scaled{where.t, none, Tensor<double>::full(Shape{8}, 3.0)};
  const Hybrid<Mse, Adversarial<Critic>> a{{}, {&critic}, {1, 1}}, b{{}, {&same}, {1, 1}};
  CHECK(a.learns());
  a.learn(x.value(), y, scaled);
  b.learn(x.value(), y, where);
  const double with = a(x, y, scaled).item(), without = b(x, y, where).item();
  CHECK(state(critic) == state(same));
  CHECK(state(critic) != before);
  const double mse = Mse{}(x, y, where).item();
  CHECK(Mse{}(x, y, scaled).item() == doctest::Approx(9 * mse).epsilon(1e-12));
  CHECK(with - without == doctest::Approx(8 * mse).epsilon(1e-12));
}
