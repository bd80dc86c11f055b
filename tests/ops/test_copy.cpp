// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/copy.hpp>
//
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numbers.hpp>
#include <numeric>

using namespace hypersd;
using numbers::normal;

namespace {

/// 0, 1, 2, ...: every element tells where it came from.
template <class T = std::int32_t>
Tensor<T> counted(const Shape& shape, int first = 0) {
  Tensor<T> out(shape);
  std::iota(out.span().begin(), out.span().end(), static_cast<T>(first));
  return out;
}

}  // namespace

TEST_CASE("Joining along the last axis puts rows side by side") {
  const auto a = counted({2, 2, 3}), b = counted({2, 2, 1}, 100), c = counted({2, 2, 0}), d = counted({2, 2, 2}, 200);
  CHECK(ops::concat_last(std::vector{a, b, c, d}).to_vector() ==
        std::vector<std::int32_t>{0, 1, 2, 100, 200, 201, 3, 4,  5,  101, 202, 203,
                                  6, 7, 8, 102, 204, 205, 9, 10, 11, 103, 206, 207});
  CHECK(ops::concat_last(a, b).shape() == Shape{2, 2, 4});
}

TEST_CASE("Slices of the last axis are its columns") {
  const auto x = counted({2, 1, 5});
  CHECK(ops::slice_last(x, 1, 3).to_vector() == std::vector<std::int32_t>{1, 2, 6, 7});
  CHECK(ops::slice_last(x, 2, 2).shape() == Shape{2, 1, 0});
  CHECK(ops::slice_last(x, 0, 5).to_vector() == x.to_vector());
  const auto out = counted({2, 1, 5});
  ops::slice_last_into(out, 2, counted({2, 1, 2}, 50));
  CHECK(out.to_vector() == std::vector<std::int32_t>{0, 1, 50, 51, 4, 5, 6, 52, 53, 9});
}

TEST_CASE("Joining along the first axis puts tensors one behind the other") {
  const auto a = counted({1, 2}), b = counted({2, 2}, 10), none = counted({0, 2});
  CHECK(ops::concat_first(std::vector{a, none, b}).to_vector() == std::vector<std::int32_t>{0, 1, 10, 11, 12, 13});
  CHECK(ops::concat_first(b, a).shape() == Shape{3, 2});
  CHECK(ops::concat_first(a, b).data() != a.data());
}

TEST_CASE("Every permutation of up to five axes moves every element to its place") {
  for (const Shape& shape :
       {Shape{5}, Shape{3, 4}, Shape{2, 3, 4}, Shape{2, 3, 4, 5}, Shape{1, 3, 1, 4}, Shape{2, 1, 3, 2, 4}}) {
    const auto x = counted(shape);
    std::vector<int> axes(static_cast<std::size_t>(shape.rank()));
    std::iota(axes.begin(), axes.end(), 0);
    do {
      const auto y = ops::permute(x, axes);
      for (std::int64_t i = 0; i < y.size(); ++i) {
        // The index of y along axis a is that of x along axes[a].
        std::int64_t from = 0, rest = i;
        for (int a = shape.rank() - 1; a >= 0; --a) {
          const int source = axes[static_cast<std::size_t>(a)];
          REQUIRE(y.dim(a) == shape[source]);
          from += rest % shape[source] * shape.numel_from(source + 1);
          rest /= shape[source];
        }
        REQUIRE(y[i] == x[from]);
      }
    } while (std::next_permutation(axes.begin(), axes.end()));
  }
}

TEST_CASE("Pictures go from channels first to channels last and back") {
  const auto x = counted({2, 3, 4, 5});
  const auto y = ops::nchw_to_nhwc(x);
  CHECK(y.shape() == Shape{2, 4, 5, 3});
  for (std::int64_t i = 0; i < y.size(); ++i) REQUIRE(y[i] == i / 60 * 60 + i % 3 * 20 + i / 3 % 20);
  CHECK(ops::nhwc_to_nchw(y).to_vector() == x.to_vector());
}

TEST_CASE("Large copies are the same for any number of threads") {
  const auto x = normal<float>({4, 60, 50, 30}, "x"), y = normal<float>({4, 60, 50, 7}, "y");
  CHECK(numbers::same_for_any_threads([&] { return ops::permute(x, {0, 3, 1, 2}); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::permute(x, {3, 1, 0, 2}); }));
  const auto both = ops::concat_last(x, y);
  CHECK(numbers::same_for_any_threads([&] { return ops::concat_last(x, y); }));
  CHECK(ops::slice_last(both, 0, 30).to_vector() == x.to_vector());
  CHECK(ops::slice_last(both, 30, 37).to_vector() == y.to_vector());
  CHECK(ops::nhwc_to_nchw(ops::nchw_to_nhwc(x)).to_vector() == x.to_vector());
}

TEST_CASE("Mismatched shapes throw and are named") {
  const auto x = counted({2, 3}), y = counted({3, 3}), z = counted({2, 4});
  CHECK_THROWS_WITH_AS(ops::concat_last(x, y), "concat_last: shapes [2, 3] and [3, 3] differ before the last axis",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::concat_first(x, z), "concat_first: shapes [2, 3] and [2, 4] differ after the first axis",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::concat_last(std::vector<Tensor<float>>{}), "concat_last: no tensors, or scalars",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::concat_first(std::vector<Tensor<float>>{}), "concat_first: no tensors, or scalars",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::slice_last(x, 1, 4), "slice_last [1, 4) of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::slice_last(x, 2, 1), "slice_last [2, 1) of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::slice_last_into(x, 2, counted({2, 2})), "slice_last_into: [2, 2] into [2, 3] at 2",
                       ShapeError);
  CHECK_THROWS_WITH_AS(ops::nchw_to_nhwc(x), "nchw_to_nhwc of shape [2, 3]", ShapeError);
  CHECK_THROWS_WITH_AS(ops::nhwc_to_nchw(x), "nhwc_to_nchw of shape [2, 3]", ShapeError);
  for (const std::vector<int>& axes : {std::vector<int>{0}, {0, 0}, {0, 2}, {-1, 0}, {0, 1, 2}}) {
    const std::string message =
        "permute: " + std::to_string(axes.size()) + " axes are not a permutation of those of shape [2, 3]";
    CHECK_THROWS_WITH_AS(ops::permute(x, axes), message.c_str(), ShapeError);
  }
  CHECK(ops::permute(counted({0, 3}), {1, 0}).shape() == Shape{3, 0});
}
