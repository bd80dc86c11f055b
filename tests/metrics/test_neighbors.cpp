// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/neighbors.hpp>
//
#include <doctest/doctest.h>

#include <gaussian_features.hpp>

using namespace hypersd;
using gaussian_features::gaussian;

namespace {

Tensor<double> line(const std::vector<double>& x) {
  auto out = Tensor<double>(Shape{static_cast<std::int64_t>(x.size()), 1});
  std::copy(x.begin(), x.end(), out.data());
  return out;
}

}  // namespace

TEST_CASE("precision, recall, density and coverage of three points on a line, by hand") {
  // Balls of the real ones: [-1, 1], [0, 2], [1, 5]; of the generated ones: [-1.9, 2.9], [2.9, 17.1], [0.5, 5.3].
  const auto m = metrics::manifold(line({0, 1, 3}), line({0.5, 10, 2.9}), 1);
  CHECK(m.precision == doctest::Approx(2.0 / 3));
  CHECK(m.recall == 1);
  CHECK(m.density == doctest::Approx(1));
  CHECK(m.coverage == 1);
  const auto half = metrics::manifold(line({0, 1, 20, 21}), line({0.5, 0.6, 0.7, 0.8}), 1);
  CHECK(half.precision == 1);
  CHECK(half.recall == 0);
  CHECK(half.density == doctest::Approx(2));
  CHECK(half.coverage == 0.5);
}

TEST_CASE("equal distributions have density 1 and the coverage of Naeem et al., appendix") {
  const std::vector<double> zero(8, 0.0), one(8, 1.0);
  const auto x = gaussian(1500, zero, one, "x"), y = gaussian(1500, zero, one, "y");
  const auto m = metrics::manifold(x, y);
  double missed = 1;
  for (int i = 1; i <= 5; ++i) missed *= (1500.0 - i) / (3000.0 - i);
  CHECK(m.density == doctest::Approx(1).epsilon(0.06));
  CHECK(m.coverage == doctest::Approx(1 - missed).epsilon(0.015));
  CHECK(m.precision == doctest::Approx(m.recall).epsilon(0.05));
}

TEST_CASE("a collapsed generator keeps precision and loses recall and coverage; a shifted one loses all") {
  const std::vector<double> zero(8, 0.0), one(8, 1.0), tenth(8, 0.1), far(8, 20.0);
  const auto x = gaussian(500, zero, one, "x");
  const auto collapsed = metrics::manifold(x, gaussian(500, zero, tenth, "y"));
  CHECK(collapsed.precision > 0.99);
  CHECK(collapsed.recall < 0.02);
  CHECK(collapsed.density > 2);
  CHECK(collapsed.coverage < 0.7);
  const auto shifted = metrics::manifold(x, gaussian(500, far, one, "y"));
  CHECK(shifted.precision + shifted.recall + shifted.density + shifted.coverage == 0);
}

TEST_CASE("copies of training samples are memorized, fresh samples at the rate of held-out ones") {
  const std::vector<double> zero(8, 0.0), one(8, 1.0);
  const auto training = gaussian(1000, zero, one, "training");
  const auto distances = [&](const Tensor<double>& x) { return metrics::nearest_distances(x, training); };
  const auto held_out = distances(gaussian(2000, zero, one, "held out"));
  CHECK(metrics::memorized_share(distances(training.slice(0, 300)), held_out) == 1);
  const double fresh = metrics::memorized_share(distances(gaussian(2000, zero, one, "fresh")), held_out, 0.1);
  CHECK(std::abs(fresh - 0.1) < 0.03);  // deviation 0.0095 from both sets of 2000
  CHECK(metrics::nearest_distances(line({4, -1}), line({0, 1, 7})) == std::vector<double>{3, 1});
}

TEST_CASE("diversity within classes, by hand, and for Gaussians") {
  CHECK(metrics::diversity_within_classes(line({0, 2, 5, 5}), std::vector<std::int32_t>{0, 0, 1, 1}) ==
        doctest::Approx(1));
  CHECK(std::isnan(metrics::diversity_within_classes(line({0, 2}), std::vector<std::int32_t>{0, 1})));
  // |x - x'| of N(0, 1) is the half-normal of scale sqrt 2: mean 2 / sqrt pi.
  const auto x = gaussian(1500, {0}, {1}, "x");
  CHECK(metrics::diversity_within_classes(x, std::vector<std::int32_t>(1500, 3)) ==
        doctest::Approx(2 / std::sqrt(std::acos(-1.0))).epsilon(0.03));
}

TEST_CASE("measures by neighbors are the same for any number of threads and for shifted features") {
  const auto x = gaussian(300, {0, 0}, {1, 2}, "x"), y = gaussian(200, {1, 0}, {1, 1}, "y");
  const int threads = num_threads();
  const auto measured = [&](int n) {
    set_num_threads(n);
    const auto m = metrics::manifold(x, y, 3);
    return std::vector<double>{m.precision, m.recall, m.density, m.coverage, metrics::nearest_distances(y, x)[7]};
  };
  const auto one = measured(1), three = measured(3);
  set_num_threads(threads);
  CHECK(one == three);
  const auto moved =
      metrics::manifold(gaussian(300, {1e6, 1e6}, {1, 2}, "x"), gaussian(200, {1e6 + 1, 1e6}, {1, 1}, "y"), 3);
  CHECK(moved.precision == one[0]);
  CHECK(moved.coverage == one[3]);
}

TEST_CASE("measures by neighbors refuse too few samples and other sizes, and name them") {
  const auto x = line({0, 1, 2}), two = gaussian(3, {0, 0}, {1, 1}, "two");
  CHECK_THROWS_WITH_AS(metrics::manifold(x, x, 3), doctest::Contains("k = 3 of 3 and 3"), OptionError);
  CHECK_THROWS_WITH_AS(metrics::manifold(x, two, 1), doctest::Contains("2 features beside 1"), ShapeError);
  CHECK_THROWS_AS(metrics::diversity_within_classes(x, std::vector<std::int32_t>{0}), ShapeError);
  CHECK_THROWS_AS(metrics::memorized_share(std::vector<double>{1}, {1}, 0), OptionError);
  CHECK_THROWS_AS(metrics::memorized_share({}, {1}), ShapeError);
  CHECK_THROWS_AS(metrics::nearest_distances(line({0, NAN}), x), NumericError);
}
