// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/agreement.hpp>
//
#include <doctest/doctest.h>

#include <limits>

using namespace hypersd;

TEST_CASE("the largest score wins, the first of equal ones") {
  const auto classes = metrics::predicted_classes(Tensor<float>::from(Shape{3, 3}, {0, 2, 1, 5, 5, 5, -3, -2, -1}));
  CHECK(classes == std::vector<std::int32_t>{1, 0, 2});
  const auto bad = Tensor<float>::full(Shape{1, 2}, std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_AS(metrics::predicted_classes(bad), NumericError);
  CHECK_THROWS_AS(metrics::predicted_classes(Tensor<float>::ones(Shape{3})), ShapeError);
}

TEST_CASE("agreement calls the classifier in batches") {
  // Samples [7, 2]: the classifier takes the features for scores.
  const auto samples = Tensor<float>::from(Shape{7, 2}, {1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0});
  const auto prompts = Tensor<std::int32_t>::from(Shape{7}, {0, 1, 0, 1, 1, 0, 0});
  std::vector<std::int64_t> batches;
  const auto result = metrics::agreement(
      [&](const Tensor<float>& x) {
        batches.push_back(x.dim(0));
        return x;
      },
      samples, prompts, 3);
  CHECK(batches == std::vector<std::int64_t>{3, 3, 1});
  CHECK(result.share() == doctest::Approx(5.0 / 7));
  const auto interval = result.interval();
  CHECK(interval.estimate == doctest::Approx(5.0 / 7));
  CHECK(interval.low >= 0);
  CHECK(interval.high <= 1);
  const auto by_class = metrics::agreement_by_class(
      result, std::span<const std::int32_t>(prompts.data(), static_cast<std::size_t>(prompts.size())), 3);
  CHECK(by_class[0] == doctest::Approx(3.0 / 4));
  CHECK(by_class[1] == doctest::Approx(2.0 / 3));
  CHECK(std::isnan(by_class[2]));
}

TEST_CASE("counts must match") {
  const std::vector<std::int32_t> a{1, 2}, b{1};
  CHECK_THROWS_AS(metrics::agreement(a, b), ShapeError);
  CHECK_THROWS_AS(metrics::agreement([](const Tensor<float>& x) { return x; }, Tensor<float>::ones(Shape{2, 2}),
                                     Tensor<std::int32_t>::zeros(Shape{3})),
                  ShapeError);
}
