// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/distances/hybrid.hpp>

#include <hypersd/distill/distances/adversarial.hpp>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/distances/mse.hpp>
#include <hypersd/testing/gradcheck.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace hypersd::distill;

namespace {

struct None {};
using At = Where<double, Cpu, None>;

/// A critic that sees the sum of each sample.
struct SumCritic {
  Var<double> operator()(const Var<double>& x, const Tensor<double>&, const None&) const {
    return autograd::sum_to_samples(autograd::tanh(x));
  }
};

At anywhere() {
  static const None none;
  return {Tensor<double>::zeros(Shape{2}), none};
}

}  // namespace

TEST_CASE("Values of the distances") {
  const auto y = Tensor<double>::zeros(Shape{2, 2});
  const Var<double> x(Tensor<double>::full(Shape{2, 2}, 0.1));
  CHECK(Mse{}(x, y, anywhere()).item() == doctest::Approx(0.01).epsilon(1e-12));
  CHECK(Huber{}(x, y, anywhere()).item() == doctest::Approx(0.0990049999).epsilon(1e-9));
  const Var<double> small(Tensor<double>::full(Shape{2, 2}, 1e-4));
  CHECK(Huber{}(small, y, anywhere()).item() == doctest::Approx(4.9875621e-6).epsilon(1e-7));
  CHECK_THROWS_AS((Huber{{0.0}}(x, y, anywhere())), OptionError);
  CHECK_THROWS_AS(Adversarial<SumCritic>{}(x, y, anywhere()), OptionError);
}

TEST_CASE("Hinge losses of the critic: 2 at indifference, 0 and no gradient beyond the margins") {
  const Var<double> zero(Tensor<double>::zeros(Shape{4}), true);
  CHECK(critic_loss(zero, zero).item() == 2.0);
  Var<double> real(Tensor<double>::full(Shape{4}, 2.0), true), fake(Tensor<double>::full(Shape{4}, -2.0), true);
  const auto loss = critic_loss(real, fake);
  CHECK(loss.item() == 0.0);
  autograd::backward(loss);
  for (const double g : real.grad().span()) CHECK(g == 0.0);
  for (const double g : fake.grad().span()) CHECK(g == 0.0);
}

TEST_CASE("Gradients of the distances") {
  const auto y = ops::normal<double>(Shape{2, 3}, stream(1, "y"));
  const auto x = ops::normal<double>(Shape{2, 3}, stream(1, "x"));
  SumCritic critic;
  Hybrid<Mse, Adversarial<SumCritic>> hybrid{{}, {&critic, {}}, {0.25, 0.2}};
  CHECK(testing::gradcheck([&](auto v) { return Huber{{0.1}}(v[0], y, anywhere()); }, {x}));
  CHECK(testing::gradcheck([&](auto v) { return hybrid(v[0], y, anywhere()); }, {x}));
  const double a = hybrid(Var<double>(x), y, anywhere()).item();
  const double b = 0.25 * Mse{}(Var<double>(x), y, anywhere()).item() +
                   0.2 * Adversarial<SumCritic>{&critic, {}}(Var<double>(x), y, anywhere()).item();
  CHECK(a == doctest::Approx(b).epsilon(1e-14));
}

TEST_CASE("Hybrid weights: MSE stays and the critic rises with fewer segments; weight 0 is bitwise MSE") {
  HybridWeights before = hybrid_weights(8);
  CHECK(before.second == 0.0);
  for (const int k : {4, 2, 1}) {
    const HybridWeights now = hybrid_weights(k);
    CHECK(now.first == before.first);
    CHECK(now.second >= before.second);
    before = now;
  }
  CHECK(before.second > 0);
  CHECK_THROWS_AS(hybrid_weights(0), OptionError);
  CHECK_THROWS_AS(hybrid_weights(1, -1.0), OptionError);
  const auto y = ops::normal<double>(Shape{2, 3}, stream(1, "y"));
  SumCritic critic;
  Var<double> a(ops::normal<double>(Shape{2, 3}, stream(1, "x")), true), b(a.value().clone(), true);
  autograd::backward(Mse{}(a, y, anywhere()));
  autograd::backward(Hybrid<Mse, Adversarial<SumCritic>>{{}, {&critic, {}}, hybrid_weights(8)}(b, y, anywhere()));
  for (std::int64_t i = 0; i < 6; ++i) CHECK(a.grad()[i] == b.grad()[i]);
}
