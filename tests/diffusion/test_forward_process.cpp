// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>

#include <cmath>

#include "numbers.hpp"

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();

// Mean and variance of all elements, and the mean over samples and channels of (mean over positions)^2.
struct Moments {
  double mean = 0, variance = 0, common = 0;
};
Moments moments(const Tensor<float>& z) {
  Moments m;
  const std::int64_t batch = z.dim(0), channels = z.dim(-1), positions = z.size() / batch / channels;
  for (std::int64_t b = 0; b < batch; ++b)
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0;
      for (std::int64_t p = 0; p < positions; ++p) {
        const double v = static_cast<double>(z[(b * positions + p) * channels + c]);
        sum += v;
        m.variance += v * v;
      }
      m.mean += sum;
      m.common += sum * sum / static_cast<double>(positions * positions);
    }
  const auto n = static_cast<double>(z.size());
  m.mean /= n;
  m.variance = m.variance / n - m.mean * m.mean;
  m.common /= static_cast<double>(batch * channels);
  return m;
}

}  // namespace

TEST_CASE("every sample is noised to its own time") {
  const auto x0 = numbers::normal<double>(Shape{3, 2, 2, 4}, "x0"), eps = numbers::normal<double>(x0.shape(), "eps");
  const Times t{0, 499, 999};
  const auto x = add_noise(Discrete<>(table), x0, eps, t);
  // Published values of the table.
  const double alpha[] = {0.99957491, 0.52694369, 0.06826491}, sigma[] = {0.02915476, 0.84990020, 0.99766723};
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const auto b = i / 16;
    CHECK(x[i] == doctest::Approx(alpha[b] * x0[i] + sigma[b] * eps[i]).epsilon(1e-7));
  }
  CHECK(numbers::distance(add_noise(Discrete<>(table), x0, eps, Times(3, -1)), x0) == 0);
}

TEST_CASE("the training target is what gives back data and noise") {
  const auto x0 = numbers::normal<double>(Shape{2, 8}, "x0"), eps = numbers::normal<double>(x0.shape(), "eps");
  const Times t{24, 749};
  const auto x = add_noise(Discrete<>(table), x0, eps, t);
  auto check = [&](const auto& process) {
    const auto target = training_target(process, x0, eps, t);
    CHECK(numbers::distance(x0_of(process, x, target, t), x0) < 1e-12);
    CHECK(numbers::distance(eps_of(process, x, target, t), eps) < 1e-12);
  };
  check(Discrete<Epsilon>(table));
  check(Discrete<Velocity>(table));
  check(Discrete<X0>(table));
}

TEST_CASE("uniform times hit the whole table evenly") {
  const Times t = uniform_times(Discrete<>(table), 100000, stream(0, "t"));
  std::vector<int> tenths(10);
  for (const Time v : t) {
    REQUIRE(v == std::floor(v));
    REQUIRE(v >= 0);
    REQUIRE(v < 1000);
    ++tenths[static_cast<std::size_t>(v / 100)];
  }
  for (const int n : tenths) CHECK(std::abs(n - 10000) < 4 * 95);  // four standard errors of a binomial count
}

TEST_CASE("a noise offset of 0 changes no bit, and 0.1 adds its variance to what a channel's positions share") {
  const Shape shape{512, 8, 8, 4};
  const Stream a = stream(3, "noise"), b = stream(3, "offset");
  CHECK(offset_noise<float>(shape, 0, a, b).to_vector() == ops::normal<float>(shape, a).to_vector());
  const auto n = static_cast<double>(shape.numel());
  for (const double d : {0.1, 0.5}) {
    const Moments m = moments(offset_noise<float>(shape, d, a, b));
    // The shift is shared by 64 elements, so its sample variance is that of 2048 draws.
    const double error = std::sqrt(2 / n) + d * d * std::sqrt(2.0 / 2048);
    CHECK(std::abs(m.variance - (1 + d * d)) < 4 * error);
    CHECK(std::abs(m.common - (1.0 / 64 + d * d)) < 4 * (1.0 / 64 + d * d) * std::sqrt(2.0 / 2048));
  }
}

TEST_CASE("shapes, times and offsets that do not fit are named") {
  const Tensor<float> x0(Shape{2, 4});
  CHECK_THROWS_WITH_AS(add_noise(Discrete<>(table), x0, Tensor<float>(Shape{2, 5}), Times{1, 2}),
                       doctest::Contains("[2, 5]"), ShapeError);
  CHECK_THROWS_AS(add_noise(Discrete<>(table), x0, x0, Times{1}), ShapeError);
  CHECK_THROWS_WITH_AS(add_noise(Discrete<>(table), x0, x0, Times{1, 1000}), doctest::Contains("1000"), OptionError);
  CHECK_THROWS_WITH_AS(training_target(Discrete<>(table), x0, x0, Times{1, -2}), doctest::Contains("-2"), OptionError);
  CHECK_THROWS_WITH_AS(offset_noise<float>(x0.shape(), -0.1, {}, {}), doctest::Contains("-0.1"), OptionError);
  CHECK_THROWS_AS(offset_noise<float>(Shape{4}, 0.1, {}, {}), ShapeError);
}
