// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_conv2d.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("Convolutions of every kernel size, stride and padding") {
  struct Kind {
    Shape x, w;
    ops::Conv2dOptions options;
  };
  for (const Kind& k : {Kind{{2, 4, 3, 2}, {3, 3, 3, 2}, {1, 1}}, Kind{{1, 5, 4, 2}, {2, 3, 3, 2}, {2, 1}},
                        Kind{{1, 4, 6, 2}, {2, 3, 3, 2}, {2, 0, 1}}, Kind{{2, 3, 2, 3}, {4, 1, 1, 3}, {1, 0}},
                        Kind{{1, 5, 4, 2}, {3, 1, 1, 2}, {2, 0}}, Kind{{1, 3, 3, 2}, {2, 1, 1, 2}, {1, 0, 1}},
                        Kind{{1, 4, 5, 1}, {2, 2, 3, 1}, {1, 2}}, Kind{{1, 6, 5, 1}, {2, 5, 5, 1}, {1, 2}}}) {
    const auto x = normal(k.x, "x"), w = normal(k.w, "w"), bias = normal({k.w[0]}, "b");
    check::gradient([&](const auto& v) { return autograd::conv2d(v[0], v[1], v[2], k.options); }, {x, w, bias});
    check::gradient([&](const auto& v) { return autograd::conv2d(v[0], v[1], Var<double>{}, k.options); }, {x, w});
  }
}

TEST_CASE("Gradients of an empty batch have the right shapes") {
  const Var<double> x(Tensor<double>(Shape{0, 4, 4, 2}), true), w(normal({3, 3, 3, 2}, "w"), true),
      bias(normal({3}, "b"), true);
  const auto y = autograd::conv2d(x, w, bias);
  autograd::backward(y, Tensor<double>(y.shape()));
  CHECK(x.grad().shape() == x.shape());
  CHECK(numbers::distance(w.grad(), Tensor<double>::zeros(w.shape())) == 0);
  CHECK(numbers::distance(bias.grad(), Tensor<double>::zeros({3})) == 0);
}
