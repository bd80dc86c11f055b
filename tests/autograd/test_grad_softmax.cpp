// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_softmax.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("Softmax of rows") {
  for (const Shape& shape : {Shape{5}, Shape{3, 1}, Shape{2, 3, 4}, Shape{2, 19}})
    check::gradient([](const auto& v) { return autograd::softmax(v[0]); }, {normal(shape, "x")});
}

TEST_CASE("Cross entropy, with and without smoothing") {
  const auto labels = Tensor<std::int32_t>::from({4}, {0, 2, 4, 2});
  for (const double smoothing : {0.0, 0.1, 1.0})
    check::gradient([&](const auto& v) { return autograd::cross_entropy(v[0], labels, smoothing); },
                    {normal({4, 5}, "x")});
}

TEST_CASE("The gradient of a cross entropy sums to zero over the classes") {
  const Var<double> x(normal({3, 7}, "x"), true);
  autograd::backward(autograd::cross_entropy(x, Tensor<std::int32_t>::from({3}, {6, 0, 3}), 0.2));
  for (std::int64_t r = 0; r < 3; ++r) {
    double total = 0;
    for (std::int64_t c = 0; c < 7; ++c) total += x.grad()[r * 7 + c];
    CHECK(std::abs(total) < 1e-15);
  }
}
