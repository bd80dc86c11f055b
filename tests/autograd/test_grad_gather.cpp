// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_gather.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/autograd/grad_map.hpp>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("Gradients of rows used several times add up, those of unused rows are 0") {
  const auto ids = Tensor<std::int32_t>::from({2, 3}, {4, 0, 4, 2, 4, 0});
  check::gradient([&](const auto& v) { return autograd::embedding(v[0], ids); }, {normal({5, 3}, "table")});
  const Var<double> table(normal({5, 2}, "table"), true);
  autograd::backward(autograd::embedding(table, ids), Tensor<double>::ones({2, 3, 2}));
  CHECK(table.grad().to_vector() == std::vector<double>{2, 2, 0, 0, 1, 1, 0, 0, 3, 3});
}

TEST_CASE("Gradients of a table used twice add up") {
  const auto a = Tensor<std::int32_t>::from({3}, {0, 1, 1}), b = Tensor<std::int32_t>::from({3}, {1, 2, 0});
  check::gradient(
      [&](const auto& v) {
        return autograd::map(ops::Mul{}, autograd::embedding(v[0], a), autograd::embedding(v[0], b));
      },
      {normal({3, 4}, "table")});
}
