// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/grad_resample.hpp>
//
#include <doctest/doctest.h>

#include "check.hpp"

using namespace hypersd;
using numbers::normal;

TEST_CASE("Upsampling by integer and fractional factors") {
  const auto x = normal({2, 2, 3, 2}, "x");
  for (const auto& [height, width] : {std::pair(2, 3), std::pair(4, 6), std::pair(3, 7), std::pair(5, 3)})
    check::gradient(
        [height = height, width = width](const auto& v) { return autograd::upsample_nearest(v[0], height, width); },
        {x});
}

TEST_CASE("Downsampling") {
  for (const Shape& shape : {Shape{2, 4, 6, 2}, Shape{1, 2, 2, 1}})
    check::gradient([](const auto& v) { return autograd::downsample_mean2(v[0]); }, {normal(shape, "x")});
}
