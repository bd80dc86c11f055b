// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_matmul.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("matmul with and without transposition") {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const auto a = normal(ta ? Shape{4, 3} : Shape{3, 4}, "a"), b = normal(tb ? Shape{5, 4} : Shape{4, 5}, "b");
      check::gradient([=](const auto& v) { return autograd::matmul(v[0], v[1], ta, tb); }, {a, b});
    }
  }
}

TEST_CASE("matmul of a matrix with its own transpose") {
  check::gradient([](const auto& v) { return autograd::matmul(v[0], v[0], false, true); }, {normal({3, 4}, "a")});
}

TEST_CASE("Linear layers with any leading axes") {
  for (const Shape& shape : {Shape{6}, Shape{3, 6}, Shape{2, 3, 6}, Shape{2, 1, 2, 6}}) {
    const auto x = normal(shape, "x"), w = normal({4, 6}, "w"), bias = normal({4}, "b");
    check::gradient([](const auto& v) { return autograd::linear(v[0], v[1], v[2]); }, {x, w, bias});
    check::gradient([](const auto& v) { return autograd::linear(v[0], v[1]); }, {x, w});
  }
}

TEST_CASE("The gradient of many rows is the sum over them") {
  // Long enough for the matmul that splits the summed axis.
  const auto x = normal({5000, 3}, "x"), gy = normal({5000, 2}, "gy");
  const Var<double> w(normal({2, 3}, "w"), true), bias(normal({2}, "b"), true);
  autograd::backward(autograd::linear(Var<double>(x), w, bias), gy);
  const auto gw = Tensor<double>::zeros({2, 3}), gb = Tensor<double>::zeros({2});
  for (std::int64_t r = 0; r < 5000; ++r)
    for (std::int64_t o = 0; o < 2; ++o) {
      gb[o] += gy[r * 2 + o];
      for (std::int64_t i = 0; i < 3; ++i) gw[o * 3 + i] += gy[r * 2 + o] * x[r * 3 + i];
    }
  CHECK(numbers::distance(w.grad(), gw) < 1e-11);
  CHECK(numbers::distance(bias.grad(), gb) < 1e-11);
}
