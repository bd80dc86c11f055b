// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/frechet_infinity.hpp>
//
#include <doctest/doctest.h>

#include <gaussian_features.hpp>

using namespace hypersd;
using gaussian_features::gaussian;

TEST_CASE("least squares line, by hand") {
  const auto exact = metrics::fitted_intercept(std::vector<double>{1, 2, 3}, std::vector<double>{7, 9, 11});
  CHECK(exact.value == doctest::Approx(5));
  CHECK(exact.standard_error == doctest::Approx(0).epsilon(1e-12));
  // y = 7/6 + 3/2 x; squared residuals 1/6, one degree of freedom.
  const auto rough = metrics::fitted_intercept(std::vector<double>{0, 1, 2}, std::vector<double>{1, 3, 4});
  CHECK(rough.value == doctest::Approx(7.0 / 6));
  CHECK(rough.standard_error == doctest::Approx(std::sqrt(1.0 / 6 * (1.0 / 3 + 1.0 / 2))));
  CHECK_THROWS_AS(metrics::fitted_intercept(std::vector<double>{1, 1, 1}, std::vector<double>{1, 2, 3}), NumericError);
}

TEST_CASE("extrapolation takes the bias of few samples away") {
  const std::vector<double> zero(16, 0.0), one(16, 1.0), shifted(16, 0.25);  // exact distance 16 / 16 = 1
  const auto reference = metrics::moments_of(gaussian(40000, zero, one, "reference"));
  const auto few = gaussian(400, shifted, one, "few");
  const double biased = metrics::frechet_distance(metrics::moments_of(few), reference);
  const auto extrapolated = metrics::frechet_infinity(few, reference);
  CHECK(biased > 1.2);
  CHECK(std::abs(extrapolated.value - 1) < 0.4 * (biased - 1));
  CHECK(extrapolated.standard_error > 0);
  CHECK(metrics::frechet_infinity(few, reference).value == extrapolated.value);
}

TEST_CASE("Frechet distance of infinitely many samples refuses too few of them") {
  const auto x = gaussian(19, {0}, {1}, "x");
  CHECK_THROWS_WITH_AS(metrics::frechet_infinity(x, metrics::moments_of(x)), doctest::Contains("19"), NumericError);
  const auto y = gaussian(40, {0}, {1}, "y");
  CHECK_THROWS_AS(metrics::frechet_infinity(y, metrics::moments_of(y), {.sizes = 2}), OptionError);
  CHECK_THROWS_AS(metrics::frechet_infinity(y, metrics::moments_of(y), {.smallest_share = 1}), OptionError);
}
