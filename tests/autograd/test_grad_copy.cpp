// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_copy.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("concat_channels: each part gets its columns of the gradient") {
  const auto a = normal({2, 3, 4}, "a"), b = normal({2, 3, 1}, "b"), c = normal({2, 3, 5}, "c");
  check::gradient([](const auto& v) { return autograd::concat_channels(v[0], v[1]); }, {a, b});
  check::gradient([](const auto& v) { return autograd::concat_channels(v); }, {a, b, c});
  check::gradient([](const auto& v) { return autograd::concat_channels(v[0], v[0]); }, {a});
}

TEST_CASE("concat_batch: each part gets its samples of the gradient") {
  const auto a = normal({2, 3}, "a"), b = normal({1, 3}, "b"), c = normal({4, 3}, "c");
  check::gradient([](const auto& v) { return autograd::concat_batch(v[0], v[1]); }, {a, b});
  check::gradient([](const auto& v) { return autograd::concat_batch(v); }, {a, b, c});
  check::gradient([](const auto& v) { return autograd::concat_batch(v[0], v[0]); }, {a});
}

TEST_CASE("Slices: the gradient outside is 0") {
  const auto x = normal({4, 3, 5}, "x");
  check::gradient([](const auto& v) { return autograd::slice_channels(v[0], 1, 4); }, {x});
  check::gradient([](const auto& v) { return autograd::slice_channels(v[0], 0, 5); }, {x});
  check::gradient([](const auto& v) { return autograd::slice_batch(v[0], 1, 3); }, {x});
  check::gradient([](const auto& v) { return autograd::slice_batch(v[0], 3, 4); }, {x});
  const Var<double> v(x);
  CHECK(autograd::slice_batch(v, 1, 3).value().data() == x.data() + 15);
}

TEST_CASE("Overlapping slices: gradients add up") {
  check::gradient(
      [](const auto& v) {
        return autograd::concat_channels(autograd::slice_channels(v[0], 0, 3), autograd::slice_channels(v[0], 1, 5));
      },
      {normal({2, 5}, "x")});
}

TEST_CASE("permute: the gradient has the inverse permutation") {
  const auto x = normal({2, 3, 4, 2}, "x");
  for (const std::vector<int>& axes :
       {std::vector<int>{0, 1, 2, 3}, {0, 2, 3, 1}, {0, 3, 1, 2}, {3, 1, 0, 2}, {2, 3, 1, 0}})
    check::gradient([&](const auto& v) { return autograd::permute(v[0], axes); }, {x});
}
