// SPDX-License-Identifier: Apache-2.0
#include <hypersd/metrics/student_t.hpp>
//
#include <doctest/doctest.h>

using namespace hypersd;

TEST_CASE("Student's t quantiles are those of the tables") {
  CHECK(metrics::student_t_quantile(0.95, 1) == doctest::Approx(12.7062047).epsilon(1e-7));
  CHECK(metrics::student_t_quantile(0.95, 2) == doctest::Approx(4.30265273).epsilon(1e-7));
  CHECK(metrics::student_t_quantile(0.95, 4) == doctest::Approx(2.77644511).epsilon(1e-7));
  CHECK(metrics::student_t_quantile(0.99, 10) == doctest::Approx(3.16927267).epsilon(1e-7));
  CHECK(metrics::student_t_quantile(0.95, 1e6) == doctest::Approx(1.95996).epsilon(1e-5));
  CHECK(metrics::student_t_quantile(0.5, 3) == doctest::Approx(0.76489233).epsilon(1e-7));
}

TEST_CASE("the interval over three seeds") {
  const std::vector<double> v{8.5, 8.7, 9.2};
  const auto i = metrics::t_interval(v);
  CHECK(i.estimate == doctest::Approx(8.8));
  CHECK(i.high - i.estimate == doctest::Approx(4.30265273 * std::sqrt(0.13 / 3)).epsilon(1e-6));
  CHECK(i.estimate - i.low == doctest::Approx(i.high - i.estimate));
}

TEST_CASE("one value has no interval: throws") {
  const std::vector<double> one{1.0};
  CHECK_THROWS_AS(metrics::t_interval(one), OptionError);
  CHECK_THROWS_AS(metrics::student_t_quantile(1.0, 2), OptionError);
  CHECK_THROWS_AS(metrics::student_t_quantile(0.95, 0), OptionError);
}
