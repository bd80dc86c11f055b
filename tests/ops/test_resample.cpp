// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/resample.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

namespace {

/// Flat index of (b, i, j, c).
std::int64_t at(const Shape& s, std::int64_t b, std::int64_t i, std::int64_t j, std::int64_t c) {
  return ((b * s[1] + i) * s[2] + j) * s[3] + c;
}

/// Calls f(index in the big picture, index of what it reads, both as written in the definition).
template <class F>
void each_upsampled(const Shape& big, const Shape& small, F&& f) {
  for (std::int64_t b = 0; b < big[0]; ++b)
    for (std::int64_t i = 0; i < big[1]; ++i)
      for (std::int64_t j = 0; j < big[2]; ++j)
        for (std::int64_t c = 0; c < big[3]; ++c)
          f(at(big, b, i, j, c), at(small, b, i * small[1] / big[1], j * small[2] / big[2], c));
}

}  // namespace

TEST_CASE("Enlarging repeats the nearest pixel, its gradient adds up who read it") {
  for (const auto& [small, height, width] :
       {std::tuple(Shape{2, 3, 4, 3}, 6, 8), std::tuple(Shape{1, 3, 4, 2}, 7, 9), std::tuple(Shape{1, 5, 2, 1}, 5, 2),
        std::tuple(Shape{2, 4, 7, 3}, 5, 7), std::tuple(Shape{1, 1, 1, 4}, 3, 5),
        std::tuple(Shape{2, 9, 9, 16}, 33, 40)}) {
    const Shape big{small[0], height, width, small[3]};
    const auto x = normal(small, "x"), gy = normal(big, "gy");
    const Tensor<double> y(big);
    const auto gx = Tensor<double>::zeros(small);
    each_upsampled(big, small, [&](std::int64_t to, std::int64_t from) {
      y[to] = x[from];
      gx[from] += gy[to];
    });
    CHECK(numbers::distance(ops::upsample_nearest(x, height, width), y) == 0);
    CHECK(numbers::distance(ops::upsample_nearest_gradient(gy, small), gx) < 1e-13);
    CHECK(numbers::distance(ops::upsample_nearest_gradient(gy.cast<float>(), small), gx) < 1e-5);
  }
}

TEST_CASE("Shrinking takes the mean of four, its gradient a quarter each") {
  for (const Shape& big : {Shape{2, 4, 6, 3}, Shape{1, 2, 2, 5}, Shape{3, 32, 18, 16}}) {
    const Shape small{big[0], big[1] / 2, big[2] / 2, big[3]};
    const auto x = normal(big, "x"), gy = normal(small, "gy");
    const Tensor<double> y(small), gx(big);
    for (std::int64_t b = 0; b < big[0]; ++b)
      for (std::int64_t i = 0; i < small[1]; ++i)
        for (std::int64_t j = 0; j < small[2]; ++j)
          for (std::int64_t c = 0; c < big[3]; ++c) {
            double total = 0;
            for (const auto& [p, q] : {std::pair(0, 0), std::pair(0, 1), std::pair(1, 0), std::pair(1, 1)}) {
              total += x[at(big, b, 2 * i + p, 2 * j + q, c)];
              gx[at(big, b, 2 * i + p, 2 * j + q, c)] = gy[at(small, b, i, j, c)] / 4;
            }
            y[at(small, b, i, j, c)] = total / 4;
          }
    CHECK(numbers::distance(ops::downsample_mean2(x), y) < 1e-15);
    CHECK(numbers::distance(ops::downsample_mean2(x.cast<float>()), y) < 5e-7);
    CHECK(numbers::distance(ops::downsample_mean2_gradient(gy), gx) == 0);
  }
}

TEST_CASE("Shrinking undoes doubling") {
  const auto x = normal<float>({2, 5, 3, 4}, "x");
  CHECK(ops::downsample_mean2(ops::upsample_nearest(x, 10, 6)).to_vector() == x.to_vector());
}

TEST_CASE("Resampling is the same bits for any number of threads") {
  const auto x = normal<float>({4, 40, 40, 16}, "x"), gy = normal<float>({4, 90, 81, 16}, "gy");
  CHECK(numbers::same_for_any_threads([&] { return ops::upsample_nearest(x, 90, 81); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::upsample_nearest_gradient(gy, x.shape()); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::downsample_mean2(x); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::downsample_mean2_gradient(x); }));
}

TEST_CASE("Empty batches and mismatched shapes") {
  CHECK(ops::upsample_nearest(Tensor<float>(Shape{0, 2, 3, 4}), 4, 6).shape() == Shape{0, 4, 6, 4});
  CHECK(ops::downsample_mean2(Tensor<float>(Shape{0, 2, 4, 4})).shape() == Shape{0, 1, 2, 4});
  const auto x = normal({1, 4, 3, 2}, "x");
  CHECK_THROWS_WITH_AS(ops::upsample_nearest(x, 3, 6), "upsample_nearest: shape [1, 4, 3, 2] to the smaller size 3 x 6",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::upsample_nearest(normal({4, 3, 2}, "x"), 8, 6),
                       "upsample_nearest of shape [4, 3, 2]: not NHWC", ShapeError);
  CHECK_THROWS_WITH_AS(ops::downsample_mean2(x), "downsample_mean2 of shape [1, 4, 3, 2]: not NHWC with even sides",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::downsample_mean2_gradient(normal({2, 3}, "g")), "downsample_mean2_gradient of shape [2, 3]",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::upsample_nearest_gradient(normal({2, 3}, "g"), x.shape()),
                       "upsample_nearest_gradient of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::upsample_nearest_gradient(normal({2, 8, 6, 2}, "g"), x.shape()),
                       "upsample_nearest_gradient: gradient [2, 8, 6, 2] for input [1, 4, 3, 2]", ShapeError);
}
