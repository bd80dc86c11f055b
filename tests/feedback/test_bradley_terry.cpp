// SPDX-License-Identifier: Apache-2.0
#include <hypersd/feedback/bradley_terry.hpp>

#include <hypersd/testing/gradcheck.hpp>

#include "golden.hpp"

using namespace hypersd;
using namespace hypersd::feedback;

namespace {

Var<double> rewards(std::initializer_list<double> values, bool trained = false) {
  return Var<double>(Tensor<double>::from(Shape{static_cast<std::int64_t>(values.size())}, values), trained);
}

}  // namespace

TEST_CASE("Bradley-Terry, Eq 9: a margin of 0, 1 and -1 costs 0.6931, 0.3133 and 1.3133") {
  const auto loss = [](double w, double l) { return bradley_terry(rewards({w}), rewards({l})).item(); };
  CHECK(loss(0, 0) == doctest::Approx(0.6931471806).epsilon(1e-10));
  CHECK(loss(1, 0) == doctest::Approx(0.3132616875).epsilon(1e-10));
  CHECK(loss(0, 1) == doctest::Approx(1.3132616875).epsilon(1e-10));
  CHECK(loss(3.5, 2.5) == loss(1, 0));  // only the difference counts
  CHECK(loss(-800, 800) == 1600);       // where ln sigmoid would be ln 0
  CHECK(loss(800, -800) == 0);
  CHECK(bradley_terry(rewards({0, 1, 0}), rewards({0, 0, 1})).item() ==
        doctest::Approx((0.6931471806 + 0.3132616875 + 1.3132616875) / 3).epsilon(1e-10));
}

TEST_CASE("Bradley-Terry: the preferred reward has gradient -(1 - sigmoid(margin)) / B, the other its negative") {
  const auto w = rewards({0.3, 2}, true), l = rewards({1, -1}, true);
  autograd::backward(bradley_terry(w, l));
  for (int i = 0; i < 2; ++i) {
    const double margin = w.value()[i] - l.value()[i];
    CHECK(w.grad()[i] == doctest::Approx(-0.5 / (1 + std::exp(margin))).epsilon(1e-12));
    CHECK(l.grad()[i] == -w.grad()[i]);
  }
  const auto result = testing::gradcheck([](const std::vector<Var<double>>& in) { return bradley_terry(in[0], in[1]); },
                                         {w.value(), l.value()}, 1e-6);
  CHECK_MESSAGE(result.ok, result.message);
}

TEST_CASE("Bradley-Terry: loss and gradient of a reward network equal PyTorch's") {
  const toy::FeedbackGolden golden;
  const toy::NetworkReward model{golden.network("first", true)};
  const auto c = golden.values("condition");
  const auto score = [&](const char* name) { return model(Var<double>(golden.values(name)), c); };
  const auto loss = bradley_terry(score("preferred"), score("other"));
  CHECK(loss.item() == doctest::Approx(golden.values("bradley_terry.loss").item()).epsilon(1e-12));
  autograd::backward(loss);
  for (const auto& [p, var] : model.net.parameters()) {
    const std::string name = p;
    if (name != "b2") CHECK(toy::relative(var.grad(), golden.values("bradley_terry.grad." + name)) <= 1e-9);
  }
  CHECK(std::abs(model.net.b2.grad()[0]) < 1e-15);  // the last bias shifts both rewards
}

TEST_CASE("Accuracy of pairs: ties count one half") {
  CHECK(pair_accuracy(rewards({1, 0, 2, 5}), rewards({0, 1, 2, 4})) == 0.625);
  CHECK_THROWS_AS(pair_accuracy(rewards({1, 0}), rewards({0})), ShapeError);
  CHECK_THROWS_AS(bradley_terry(rewards({1, 0}), rewards({0})), ShapeError);
  CHECK_THROWS_AS(
      bradley_terry(Var<double>(Tensor<double>::zeros(Shape{2, 1})), Var<double>(Tensor<double>::zeros(Shape{2, 1}))),
      ShapeError);
}
