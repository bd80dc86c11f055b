// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/compact.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd;
using Mask = Tensor<std::uint8_t>;
using Indices = std::vector<std::int32_t>;

TEST_CASE("Selected indices in ascending order; the rest is -1") {
  const Mask mask = Mask::from({6}, {0, 1, 0, 255, 1, 0});
  const auto all = ops::select(mask);
  CHECK(all.indices.to_vector() == Indices{1, 3, 4, -1, -1, -1});
  CHECK(all.count.item() == 3);
  CHECK(ops::selected_indices(mask).to_vector() == Indices{1, 3, 4});
  CHECK(ops::selected_indices(Mask::zeros({5})).size() == 0);
  CHECK(ops::selected_indices(Mask(Shape{0})).size() == 0);
}

TEST_CASE("Rows that a mask selects") {
  const auto x = Tensor<float>::from({3, 2}, {1, 2, 3, 4, 5, 6});
  CHECK(ops::copy_if(x, Mask::from({3}, {1, 0, 1})).to_vector() == std::vector<float>{1, 2, 5, 6});
  CHECK(ops::copy_if(x, Mask::zeros({3})).shape() == Shape{0, 2});
  const auto images = Tensor<std::int32_t>::from({2, 1, 2}, {1, 2, 3, 4});
  CHECK(ops::copy_if(images, Mask::from({2}, {0, 1})).shape() == Shape{1, 1, 2});
  CHECK(ops::copy_if(Tensor<float>::from({3}, {7, 8, 9}), Mask::from({3}, {0, 1, 1})).to_vector() ==
        std::vector<float>{8, 9});
}

TEST_CASE("Masks of another shape are named") {
  CHECK_THROWS_WITH_AS(ops::select(Mask::zeros({2, 3})), "select: a mask of shape [2, 3], not [N]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::copy_if(Tensor<float>(Shape{3, 2}), Mask::zeros({2})),
                       "copy_if: [3, 2] with a mask of shape [2]", ShapeError);
}
