// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_map.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

namespace {

/// x y^2 / (1 + z^2): no partial is a constant, no two are alike.
struct Mixed {
  template <class T>
  T operator()(T x, T y, T z) const {
    return x * y * y / (T(1) + z * z);
  }
  template <int I, class T>
  T d(T x, T y, T z) const {
    const T n = T(1) + z * z;
    return I == 0 ? y * y / n : I == 1 ? T(2) * x * y / n : T(-2) * x * y * y * z / (n * n);
  }
};

/// Square with a slope one per mille too steep.
struct Steep {
  template <class T>
  T operator()(T x) const {
    return x * x;
  }
  template <int I, class T>
  T d(T x) const {
    return T(2.002) * x;
  }
};

template <class F>
auto mapped(const F& f) {
  return [f](const check::Inputs& v) { return autograd::map(f, v[0]); };
}

}  // namespace

TEST_CASE("Functors of one argument") {
  const auto x = check::off_zero({4, 9}, "x");
  check::gradient(mapped(ops::Identity{}), {x});
  check::gradient(mapped(ops::Affine<double>{-1.5, 3}), {x});
  check::gradient(mapped(ops::Square{}), {x});
  check::gradient(mapped(ops::Relu{}), {x});
  check::gradient(mapped(ops::LeakyRelu{0.3}), {x});
  check::gradient(mapped(ops::Silu{}), {x});
  check::gradient(mapped(ops::Gelu{}), {x});
  check::gradient(mapped(ops::Tanh{}), {x});
  check::gradient(mapped(ops::Exp{}), {x});
  check::gradient(mapped(ops::Abs{}), {x});
  check::gradient(mapped(ops::Softplus{}), {x});
  check::gradient(mapped(ops::PseudoHuber{0.5}), {x});
}

TEST_CASE("Functors of several arguments, each a variable") {
  const Shape shape{3, 5};
  const auto x = normal(shape, "x"), y = normal(shape, "y"), a = normal(shape, "a"), b = normal(shape, "b");
  check::gradient([](const auto& v) { return autograd::map(ops::Add{}, v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::map(ops::Sub{}, v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::map(ops::Mul{}, v[0], v[1]); }, {x, y});
  check::gradient(
      [](const auto& v) {
        return autograd::map(ops::LinearCombination<double>{2, -3}, v[0], v[1]);
      },
      {x, y});
  check::gradient([](const auto& v) { return autograd::map(ops::Combine{}, v[0], v[1], v[2], v[3]); }, {x, y, a, b});
  check::gradient([](const auto& v) { return autograd::map(Mixed{}, v[0], v[1], v[2]); }, {x, y, a});
}

TEST_CASE("Derivatives at kinks are the documented ones") {
  const auto at_zero = [](auto f) {
    const Var<double> x(Tensor<double>::zeros({1}), true);
    autograd::backward(autograd::map(f, x));
    return x.grad().item();
  };
  CHECK(at_zero(ops::Abs{}) == 0);
  CHECK(at_zero(ops::Relu{}) == 0);
  CHECK(at_zero(ops::LeakyRelu{0.3}) == 0.3);
}

TEST_CASE("The gradient of a broadcast variable is summed over the broadcast axes") {
  for (const Shape& shape : {Shape{3, 4, 2, 5}, Shape{2, 6}, Shape{1, 3}}) {
    const std::int64_t batch = shape[0], channels = shape[-1];
    const auto x = normal(shape, "x"), y = normal(shape, "y"), sample = normal({batch}, "s"),
               channel = normal({channels}, "c"), both = normal({batch, channels}, "b"), one = normal({1}, "o");
    const auto mul = [](const auto& a, const auto& b) { return autograd::map(ops::Mul{}, a, b); };
    const auto add = [](const auto& a, const auto& b) { return autograd::map(ops::Add{}, a, b); };
    check::gradient([&](const auto& v) { return mul(v[0], ops::per_sample(v[1])); }, {x, sample});
    check::gradient([&](const auto& v) { return mul(v[0], ops::per_channel(v[1])); }, {x, channel});
    check::gradient([&](const auto& v) { return mul(v[0], ops::per_channel(v[1])); }, {x, both});
    check::gradient([&](const auto& v) { return mul(v[0], ops::everywhere(v[1])); }, {x, one});
    // A sum shares the incoming gradient instead of multiplying by one.
    check::gradient([&](const auto& v) { return add(v[0], ops::per_sample(v[1])); }, {x, sample});
    check::gradient([&](const auto& v) { return add(v[0], ops::per_channel(v[1])); }, {x, channel});
    check::gradient([&](const auto& v) { return add(v[0], ops::per_channel(v[1])); }, {x, both});
    check::gradient([&](const auto& v) { return add(v[0], ops::everywhere(v[1])); }, {x, one});
    check::gradient(
        [&](const auto& v) { return autograd::map(Mixed{}, v[0], ops::per_sample(v[1]), ops::per_channel(v[2])); },
        {x, sample, both});
    check::gradient(
        [&](const auto& v) {
          return autograd::map(ops::Combine{}, v[0], v[1], ops::everywhere(v[2]), ops::per_channel(v[3]));
        },
        {x, y, one, channel});
  }
}

TEST_CASE("A per-sample variable of shape [B, 1] keeps its shape") {
  check::gradient([](const auto& v) { return autograd::map(ops::Mul{}, v[0], ops::per_sample(v[1])); },
                  {normal({3, 4}, "x"), normal({3, 1}, "s")});
}

TEST_CASE("Constant operands get no gradient") {
  const auto x = normal({3, 4}, "x"), y = normal({3, 4}, "y"), sample = normal({3}, "s"), channel = normal({4}, "c");
  check::gradient([&](const auto& v) { return autograd::map(Mixed{}, v[0], y, v[1]); }, {x, y});
  check::gradient([&](const auto& v) { return autograd::map(ops::Mul{}, v[0], ops::per_sample(sample)); }, {x});
  check::gradient(
      [&](const auto& v) { return autograd::map(Mixed{}, v[0], ops::per_channel(channel), ops::per_sample(v[1])); },
      {x, sample});
}

TEST_CASE("The gradients of a variable used several times add up") {
  check::gradient([](const auto& v) { return autograd::map(Mixed{}, v[0], v[0], v[0]); }, {normal({7}, "x")});
}

TEST_CASE("gradcheck finds a derivative that is off by one per mille") {
  const auto x = check::off_zero({2, 3}, "x");
  const auto wrong = testing::gradcheck(mapped(Steep{}), {x});
  CHECK(!wrong);
  CHECK(wrong.message.rfind("input 0 element 0: analytic ", 0) == 0);
  CHECK(wrong.worst > 1e-4);
}

TEST_CASE("gradcheck finds a missing gradient, a wrong sum and a NaN") {
  const auto x = normal({2, 3}, "x"), y = normal({2, 3}, "y"), sample = normal({2}, "s");
  CHECK(!testing::gradcheck([](const auto& v) { return autograd::map(ops::Mul{}, v[0], v[1].detach()); }, {x, y}));
  const auto first_only = [](const check::Inputs& v) {
    return autograd::make_result<double, Cpu>(ops::map(ops::Mul{}, v[0].value(), ops::per_sample(v[1].value())), {v[1]},
                                              [v](const Tensor<double>& g) {
                                                const Tensor<double> gs(v[1].shape());
                                                for (std::int64_t b = 0; b < gs.size(); ++b)
                                                  gs[b] = g[b * 3] * v[0].value()[b * 3];
                                                v[1].accumulate(gs);
                                              });
  };
  const auto wrong = testing::gradcheck(first_only, {x, sample});
  CHECK(!wrong);
  const auto wrong_tangent = [](const check::Inputs& v) {
    return autograd::make_result<double, Cpu>(
        v[0].value().clone(), {v[0]}, [v](const Tensor<double>& g) { v[0].accumulate(g); },
        [v] {
          return ops::map(ops::Affine<double>{1.001, 0}, v[0].tangent());
        });
  };
  CHECK(testing::gradcheck(wrong_tangent, {x}).message.rfind("tangent element 0: analytic ", 0) == 0);
  CHECK(!testing::gradcheck(mapped(ops::Exp{}), {Tensor<double>::full({1}, std::nan(""))}));
}
