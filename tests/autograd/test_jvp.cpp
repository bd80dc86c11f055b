// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <hypersd/autograd.hpp>
#include <hypersd/ops/random.hpp>

#include "check.hpp"

// The rule of each operation is tested beside its gradient: `testing::gradcheck` compares both with central differences
// and with each other.

using namespace hypersd;
using autograd::Dual;

namespace {

Tensor<double> normal(const Shape& shape, const char* name) { return ops::normal<double>(shape, stream(7, name)); }

}  // namespace

TEST_CASE("jvp returns value and derivative along a direction") {
  // f(x) = x^3, f'(x) dx = 3 x^2 dx
  const auto x = Tensor<double>::from({3}, {1, -2, 0.5}), dx = Tensor<double>::from({3}, {1, 0.25, -4});
  const auto out =
      autograd::jvp([](const Var<double>& v) { return autograd::mul(autograd::mul(v, v), v); }, Dual{x, dx});
  for (std::int64_t i = 0; i < 3; ++i) {
    CHECK(out.value.value()[i] == doctest::Approx(x[i] * x[i] * x[i]).epsilon(1e-14));
    CHECK(out.tangent[i] == doctest::Approx(3 * x[i] * x[i] * dx[i]).epsilon(1e-14));
  }
}

TEST_CASE("jvp is linear in the direction and sums over inputs") {
  const auto f = [](const Var<double>& a, const Var<double>& b) { return autograd::tanh(autograd::matmul(a, b)); };
  const auto a = normal({3, 4}, "a"), b = normal({4, 2}, "b"), da = normal({3, 4}, "da"), db = normal({4, 2}, "db");
  const auto both = autograd::jvp(f, Dual{a, da}, Dual{b, db}).tangent;
  const auto first = autograd::jvp(f, Dual{a, da}, Dual<double>{b, {}}).tangent;
  const auto second = autograd::jvp(f, Dual<double>{a, {}}, Dual{b, db}).tangent;
  const auto twice = autograd::jvp(f, Dual{a, ops::map(ops::Affine<double>{2, 0}, da)}, Dual<double>{b, {}}).tangent;
  for (std::int64_t i = 0; i < both.size(); ++i) {
    CHECK(both[i] == doctest::Approx(first[i] + second[i]).epsilon(1e-13));
    CHECK(twice[i] == doctest::Approx(2 * first[i]).epsilon(1e-14));
  }
}

TEST_CASE("a function that does not depend on its input has a zero tangent, and detach stops it") {
  const auto x = normal({2, 3}, "x"), dx = normal({2, 3}, "dx");
  const auto constant = autograd::jvp([&](const Var<double>&) { return Var<double>(x); }, Dual{x, dx});
  const auto stopped = autograd::jvp([](const Var<double>& v) { return autograd::silu(v.detach()); }, Dual{x, dx});
  for (std::int64_t i = 0; i < x.size(); ++i) {
    CHECK(constant.tangent[i] == 0);
    CHECK(stopped.tangent[i] == 0);
  }
}

TEST_CASE("the value under jvp keeps its tape, and the tangent does not change its gradient") {
  const auto x = normal({2, 3}, "x"), dx = normal({2, 3}, "dx");
  const Var<double> w(normal({4, 3}, "w"), true), v(w.value(), true);
  const auto out =
      autograd::jvp([&](const Var<double>& z) { return autograd::gelu(autograd::linear(z, w)); }, Dual{x, dx});
  autograd::backward(autograd::sum(out.value));
  autograd::backward(autograd::sum(autograd::gelu(autograd::linear(Var<double>(x), v))));
  for (std::int64_t i = 0; i < w.size(); ++i) CHECK(w.grad()[i] == v.grad()[i]);
}

TEST_CASE("checkpoint passes tangents on") {
  const auto x = normal({2, 3}, "x"), dx = normal({2, 3}, "dx");
  const Var<double> w(normal({4, 3}, "w"), true);
  const auto layer = [w](const Var<double>& z) { return autograd::tanh(autograd::linear(z, w)); };
  const auto plain = autograd::jvp(layer, Dual{x, dx}).tangent;
  const auto kept =
      autograd::jvp([&](const Var<double>& z) { return autograd::checkpoint(layer, z); }, Dual{x, dx}).tangent;
  for (std::int64_t i = 0; i < plain.size(); ++i) CHECK(plain[i] == kept[i]);
}

TEST_CASE("an operation without a forward rule is refused under jvp only") {
  const auto own = [](const Var<double>& x) {
    return autograd::make_result<double, Cpu>(x.value().clone(), {x},
                                              [x](const Tensor<double>& g) { x.accumulate(g); });
  };
  const auto x = normal({2}, "x");
  CHECK_NOTHROW(own(Var<double>(x)));
  CHECK_THROWS_WITH_AS(autograd::jvp(own, Dual{x, x}),
                       "jvp: an operation with a result of shape [2] has no forward rule: pass one to make_result",
                       Error);
}

TEST_CASE("a direction of another shape is refused") {
  CHECK_THROWS_AS(autograd::jvp([](const Var<double>& v) { return v; }, Dual{normal({2}, "x"), normal({3}, "dx")}),
                  ShapeError);
}
