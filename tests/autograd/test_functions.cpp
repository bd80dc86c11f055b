// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/functions.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

namespace {

/// fn of each element of x.
template <class Fn>
Tensor<double> each(const Tensor<double>& x, Fn fn) {
  const Tensor<double> y(x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) y[i] = fn(x[i]);
  return y;
}

}  // namespace

TEST_CASE("Named functions have the values of their formulas") {
  const Tensor<double> t = normal({5, 40}, "x");
  const Var<double> x(t);
  auto worst = [&](const Var<double>& got, auto formula) { return numbers::distance(got.value(), each(t, formula)); };
  CHECK(worst(autograd::affine(x, 2, -1), [](double v) { return 2 * v - 1; }) < 1e-15);
  CHECK(worst(autograd::silu(x), [](double v) { return v / (1 + std::exp(-v)); }) < 1e-14);
  CHECK(worst(autograd::gelu(x), [](double v) { return 0.5 * v * std::erfc(-v / std::sqrt(2.0)); }) < 1e-14);
  CHECK(worst(autograd::relu(x), [](double v) { return std::max(v, 0.0); }) == 0);
  CHECK(worst(autograd::leaky_relu(x), [](double v) { return v > 0 ? v : 0.2 * v; }) < 1e-15);
  CHECK(worst(autograd::tanh(x), [](double v) { return std::tanh(v); }) < 1e-15);
  CHECK(worst(autograd::exp(x), [](double v) { return std::exp(v); }) < 1e-14);
  CHECK(worst(autograd::softplus(x), [](double v) { return std::log1p(std::exp(v)); }) < 1e-14);
}

TEST_CASE("Softplus neither overflows nor vanishes early") {
  const Var<double> x(Tensor<double>::from({2}, {800, -800}), true);
  const auto y = autograd::softplus(x);
  CHECK(y.value().to_vector() == std::vector<double>{800, 0});
  autograd::backward(autograd::sum(y));
  CHECK(x.grad().to_vector() == std::vector<double>{1, 0});
}

TEST_CASE("Gradients of arithmetic") {
  const Shape shape{3, 2, 4};
  const auto x = normal(shape, "x"), y = normal(shape, "y"), sample = normal({3}, "s"), channel = normal({4}, "c"),
             other = normal({3}, "t");
  check::gradient([](const auto& v) { return autograd::add(v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::sub(v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::mul(v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::add(v[0], ops::per_channel(v[1])); }, {x, channel});
  check::gradient([](const auto& v) { return autograd::sub(v[0], ops::per_sample(v[1])); }, {x, sample});
  check::gradient([](const auto& v) { return autograd::sub(v[0], ops::per_channel(v[1])); }, {x, channel});
  check::gradient([](const auto& v) { return autograd::mul(v[0], ops::per_sample(v[1])); }, {x, sample});
  check::gradient([](const auto& v) { return autograd::affine(v[0], -2.5, 7); }, {x});
  check::gradient([](const auto& v) { return autograd::linear_combination(0.3, v[0], -1.7, v[1]); }, {x, y});
  check::gradient([&](const auto& v) { return autograd::combine_samples(sample, v[0], other, v[1]); }, {x, y});
  const auto combined = autograd::combine_samples(sample, Var<double>(x), other, Var<double>(y)).value();
  for (std::int64_t i = 0; i < x.size(); ++i)
    CHECK(combined[i] == doctest::Approx(sample[i / 8] * x[i] + other[i / 8] * y[i]));
}

TEST_CASE("Gradients of activations") {
  const auto x = check::off_zero({3, 7}, "x");
  check::gradient([](const auto& v) { return autograd::silu(v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::gelu(v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::relu(v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::leaky_relu(v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::leaky_relu(v[0], 0.01); }, {x});
  check::gradient([](const auto& v) { return autograd::tanh(v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::exp(v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::softplus(v[0]); }, {x});
}

TEST_CASE("Reshape is a view") {
  const auto x = normal({2, 3, 4}, "x");
  check::gradient(
      [](const auto& v) {
        return autograd::mul(autograd::reshape(v[0], {4, 6}), v[1]);
      },
      {x, normal({4, 6}, "y")});
  const Var<double> v(x);
  CHECK(autograd::reshape(v, {24}).value().data() == x.data());
  CHECK_THROWS_WITH_AS(autograd::reshape(v, {5}), "reshape of [2, 3, 4] to [5]", ShapeError);
}

TEST_CASE("Losses equal their definitions") {
  const auto x = normal({3, 5}, "x"), y = normal({3, 5}, "y");
  double square = 0, distance = 0;
  for (std::int64_t i = 0; i < 15; ++i) {
    square += (x[i] - y[i]) * (x[i] - y[i]) / 15;
    distance += std::abs(x[i] - y[i]) / 15;
  }
  CHECK(autograd::mse(Var<double>(x), Var<double>(y)).item() == doctest::Approx(square).epsilon(1e-13));
  CHECK(autograd::l1(Var<double>(x), y).item() == doctest::Approx(distance).epsilon(1e-13));
  check::gradient([](const auto& v) { return autograd::mse(v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::l1(v[0], v[1]); }, {x, y});
  check::gradient([&](const auto& v) { return autograd::mse(v[0], y); }, {x});
  check::gradient([&](const auto& v) { return autograd::l1(v[0], y); }, {x});
}
