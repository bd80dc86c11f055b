// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_reduce.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("Sums and means over all elements") {
  const auto x = normal({3, 4, 5}, "x");
  double total = 0;
  for (const double v : x.span()) total += v;
  CHECK(autograd::sum(Var<double>(x)).item() == doctest::Approx(total).epsilon(1e-12));
  CHECK(autograd::mean(Var<double>(x)).item() == doctest::Approx(total / 60).epsilon(1e-12));
  check::gradient([](const auto& v) { return autograd::sum(v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::mean(v[0]); }, {x});
}

TEST_CASE("Sums of functors, with every kind of operand") {
  const auto x = normal({3, 2, 5}, "x"), y = normal({3, 2, 5}, "y"), sample = normal({3}, "s"),
             channel = normal({5}, "c"), both = normal({3, 5}, "b"), one = normal({1}, "o");
  check::gradient([](const auto& v) { return autograd::map_sum(ops::Square{}, 0.5, v[0]); }, {x});
  check::gradient([](const auto& v) { return autograd::map_sum(ops::Mul{}, -2.0, v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::map_sum(ops::Mul{}, 3.0, v[0], ops::per_sample(v[1])); },
                  {x, sample});
  check::gradient([](const auto& v) { return autograd::map_mean(ops::Mul{}, v[0], ops::per_channel(v[1])); },
                  {x, channel});
  check::gradient([](const auto& v) { return autograd::map_mean(ops::Mul{}, v[0], ops::per_channel(v[1])); },
                  {x, both});
  check::gradient([](const auto& v) { return autograd::map_mean(ops::Mul{}, v[0], ops::everywhere(v[1])); }, {x, one});
  // A sum of sums shares the broadcast gradient between its operands.
  check::gradient([](const auto& v) { return autograd::map_sum(ops::Add{}, 3.0, v[0], v[1]); }, {x, y});
  check::gradient([](const auto& v) { return autograd::map_mean(ops::Add{}, v[0], ops::per_sample(v[1])); },
                  {x, sample});
  check::gradient(
      [&](const auto& v) { return autograd::map_mean(ops::Combine{}, v[0], y, ops::per_sample(sample), v[1]); },
      {x, y});
}

TEST_CASE("map_mean is map_sum divided by the number of elements") {
  const auto x = normal({3, 4}, "x"), s = normal({3}, "s");
  double total = 0;
  for (std::int64_t i = 0; i < 12; ++i) total += x[i] * s[i / 4];
  const Var<double> v(x);
  CHECK(autograd::map_mean(ops::Mul{}, v, ops::per_sample(s)).item() == doctest::Approx(total / 12).epsilon(1e-13));
  CHECK(autograd::map_sum(ops::Mul{}, 0.25, v, ops::per_sample(s)).item() == doctest::Approx(total / 4).epsilon(1e-13));
}

TEST_CASE("Sums of samples and means over positions") {
  for (const Shape& shape : {Shape{3, 2, 4, 5}, Shape{2, 7}, Shape{4, 1, 3}}) {
    const auto x = normal(shape, "x");
    const std::int64_t batch = shape[0], channels = shape[-1], positions = x.size() / batch / channels;
    const auto sums = Tensor<double>::zeros({batch}), means = Tensor<double>::zeros({batch, channels});
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const std::int64_t b = i / (positions * channels);
      sums[b] += x[i];
      means[b * channels + i % channels] += x[i] / static_cast<double>(positions);
    }
    CHECK(numbers::distance(autograd::sum_to_samples(Var<double>(x)).value(), sums) < 1e-13);
    CHECK(numbers::distance(autograd::mean_positions(Var<double>(x)).value(), means) < 1e-14);
    check::gradient([](const auto& v) { return autograd::sum_to_samples(v[0]); }, {x});
    check::gradient([](const auto& v) { return autograd::mean_positions(v[0]); }, {x});
  }
}

TEST_CASE("Reductions inside an expression") {
  // A loss with a weight per sample, as the objectives have it.
  check::gradient(
      [](const auto& v) {
        const auto difference = autograd::map(ops::Sub{}, v[0], v[1]);
        const auto per_sample = autograd::sum_to_samples(autograd::map(ops::Square{}, difference));
        return autograd::mean(autograd::map(ops::Mul{}, per_sample, v[2]));
      },
      {normal({3, 4}, "x"), normal({3, 4}, "y"), normal({3}, "w")});
}

TEST_CASE("Means of empty tensors are 0") {
  CHECK(autograd::mean(Var<double>(Tensor<double>(Shape{0, 3}))).item() == 0);
  CHECK(autograd::mean_positions(Var<double>(Tensor<double>(Shape{0, 2, 3}))).shape() == Shape{0, 3});
}
