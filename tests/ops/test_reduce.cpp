// SPDX-License-Identifier: Apache-2.0
#include <hypersd/ops/reduce.hpp>
//
#include <doctest/doctest.h>

#include <numbers.hpp>

using namespace hypersd;
using numbers::normal;

TEST_CASE("Sums over everything, samples, channels and positions") {
  for (const Shape& shape : {Shape{3, 5, 7}, Shape{1, 2000, 3}, Shape{2, 1, 130}, Shape{700, 1, 19}}) {
    const auto x = normal(shape, "x");
    const std::int64_t batch = shape[0], channels = shape[2], n = shape[1];
    double all = 0;
    std::vector<double> sample(static_cast<std::size_t>(batch)), channel(static_cast<std::size_t>(channels)),
        both(static_cast<std::size_t>(batch * channels));
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const std::int64_t b = i / (n * channels), c = i % channels;
      all += x[i];
      sample[static_cast<std::size_t>(b)] += x[i];
      channel[static_cast<std::size_t>(c)] += x[i];
      both[static_cast<std::size_t>(b * channels + c)] += x[i];
    }
    CHECK(ops::sum(x).item() == doctest::Approx(all).epsilon(1e-10));
    CHECK(numbers::distance(ops::sum_to_samples(x), Tensor<double>::from({batch}, sample)) < 1e-10);
    CHECK(numbers::distance(ops::sum_to_channels(x), Tensor<double>::from({channels}, channel)) < 1e-10);
    CHECK(numbers::distance(ops::sum_to_sample_channels(x), Tensor<double>::from({batch, channels}, both)) < 1e-10);
  }
}

TEST_CASE("map_sum adds what map would store") {
  const auto x = normal({4, 9, 5}, "x"), y = normal({5}, "y");
  const auto stored = ops::map(ops::Mul{}, x, ops::per_channel(y));
  CHECK(ops::map_sum(ops::Mul{}, x, ops::per_channel(y)).item() ==
        doctest::Approx(ops::sum(stored).item()).epsilon(1e-12));
}

TEST_CASE("A long float sum keeps its digits") {
  const auto x = Tensor<float>::full({3'000'000}, 0.1F);
  CHECK(ops::sum(x).item() == doctest::Approx(3'000'000 * static_cast<double>(0.1F)).epsilon(1e-7));
}

TEST_CASE("Sums are the same bits for any number of threads") {
  const auto x = normal<float>({96, 33, 65}, "x");
  CHECK(numbers::same_for_any_threads([&] { return ops::sum(x); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::sum_to_samples(x); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::sum_to_channels(x); }));
  CHECK(numbers::same_for_any_threads([&] { return ops::sum_to_sample_channels(x); }));
}

TEST_CASE("Sums of nothing are zero") {
  CHECK(ops::sum(Tensor<float>(Shape{0, 4})).item() == 0.0F);
  CHECK(ops::sum_to_channels(Tensor<float>(Shape{0, 4})).to_vector() == std::vector<float>{0, 0, 0, 0});
  CHECK_THROWS_WITH_AS(ops::sum_to_sample_channels(Tensor<float>(Shape{4})), "sum_to_sample_channels of shape [4]",
                       ShapeError);
}
