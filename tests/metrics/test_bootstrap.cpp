// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/bootstrap.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/core/math.hpp>

using namespace hypersd;

TEST_CASE("quantiles interpolate like numpy's") {
  const std::vector<double> v{1, 2, 4, 8};
  CHECK(metrics::quantile(v, 0) == 1);
  CHECK(metrics::quantile(v, 1) == 8);
  CHECK(metrics::quantile(v, 0.5) == doctest::Approx(3));
  CHECK(metrics::quantile(v, 0.9) == doctest::Approx(6.8));
  CHECK_THROWS_AS(metrics::quantile({}, 0.5), OptionError);
}

TEST_CASE("intervals are deterministic, differ by seed and close on constants") {
  const std::vector<double> v{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const auto a = metrics::bootstrap_mean(v), b = metrics::bootstrap_mean(v);
  CHECK(a.estimate == 4.5);
  CHECK(a.low == b.low);
  CHECK(a.high == b.high);
  CHECK(a.low < 4.5);
  CHECK(a.high > 4.5);
  const auto c = metrics::bootstrap_mean(v, {.seed = 1});
  CHECK((c.low != a.low || c.high != a.high));
  const std::vector<double> constant(7, 2.5);
  const auto d = metrics::bootstrap_mean(constant);
  CHECK(d.low == 2.5);
  CHECK(d.high == 2.5);
}

TEST_CASE("the 95 % interval of a mean covers it in about 95 % of experiments") {
  constexpr int experiments = 300, n = 60;
  int covered = 0, covered_half = 0;
  for (int e = 0; e < experiments; ++e) {
    std::vector<double> v;
    const Stream s = stream(9, "experiment", static_cast<std::uint64_t>(e));
    for (std::uint64_t i = 0; i < n; ++i) v.push_back(1 + 2 * static_cast<double>(normal_at(s, i)));
    const auto wide = metrics::bootstrap_mean(v, {.resamples = 400, .seed = static_cast<std::uint64_t>(e)});
    const auto narrow =
        metrics::bootstrap_mean(v, {.resamples = 400, .confidence = 0.5, .seed = static_cast<std::uint64_t>(e)});
    covered += wide.low <= 1 && 1 <= wide.high;
    covered_half += narrow.low <= 1 && 1 <= narrow.high;
  }
  // Binomial standard deviations: 1.3 % and 2.9 %; the bootstrap of 60 draws is a little too narrow.
  CHECK(covered >= static_cast<int>(0.90 * experiments));
  CHECK(covered <= static_cast<int>(0.99 * experiments));
  CHECK(covered_half >= static_cast<int>(0.40 * experiments));
  CHECK(covered_half <= static_cast<int>(0.60 * experiments));
}

TEST_CASE("the centred interval removes the bootstrap bias") {
  // The plug-in variance is biased downwards by (n - 1) / n, and resampling biases it once more.
  std::vector<double> v;
  for (std::uint64_t i = 0; i < 10; ++i) v.push_back(static_cast<double>(normal_at(stream(2, "v"), i)));
  auto variance = [&](std::span<const std::int64_t> indices) {
    double sum = 0, squares = 0;
    for (const auto i : indices) {
      sum += v[static_cast<std::size_t>(i)];
      squares += v[static_cast<std::size_t>(i)] * v[static_cast<std::size_t>(i)];
    }
    const auto n = static_cast<double>(indices.size());
    return squares / n - sum * sum / n / n;
  };
  const auto raw = metrics::bootstrap_interval(10, variance, {.resamples = 4000});
  const auto centred =
      metrics::bootstrap_interval(10, variance, {.resamples = 4000, .kind = metrics::IntervalKind::centred});
  CHECK(centred.high - centred.low == doctest::Approx(raw.high - raw.low));
  CHECK(centred.low - raw.low == doctest::Approx(0.1 * raw.estimate).epsilon(0.2));
}

TEST_CASE("bad options are errors") {
  const std::vector<double> v{1, 2};
  CHECK_THROWS_AS(metrics::bootstrap_mean({}), OptionError);
  CHECK_THROWS_AS(metrics::bootstrap_mean(v, {.resamples = 1}), OptionError);
  CHECK_THROWS_AS(metrics::bootstrap_mean(v, {.confidence = 1}), OptionError);
}
