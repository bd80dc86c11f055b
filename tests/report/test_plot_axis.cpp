// SPDX-License-Identifier: Apache-2.0
#include <hypersd/report/plot_axis.hpp>

#include <doctest/doctest.h>

using namespace hypersd;

namespace {

std::string labels(bool log, double low, double high, double margin = 0) {
  report::PlotAxis axis(log);
  axis.include(low);
  axis.include(high);
  axis.close(margin, 5);
  std::string out;
  for (const auto& tick : axis.ticks()) out += tick.label + " ";
  return out;
}

}  // namespace

TEST_CASE("round ticks") {
  CHECK(labels(false, 0, 10) == "0 2 4 6 8 10 ");
  CHECK(labels(false, 0, 1) == "0 0.2 0.4 0.6 0.8 1 ");
  CHECK(labels(false, -0.03, 0.02) == "-0.03 -0.02 -0.01 0 0.01 0.02 ");
  CHECK(labels(false, 0, 20000) == "0 5k 10k 15k 20k ");
  CHECK(labels(true, 1, 10000) == "1 10 100 1000 10000 ");
  CHECK(labels(true, 1, 10) == "1 2 3 4 5 6 8 10 ");
}

TEST_CASE("positions") {
  report::PlotAxis linear, log(true);
  for (const double v : {2.0, 6.0}) linear.include(v);
  for (const double v : {1.0, 100.0, 0.0, -5.0}) log.include(v);
  linear.close(0, 4);
  log.close(0, 4);
  CHECK(linear.position(3) == doctest::Approx(0.25));
  CHECK(log.position(10) == doctest::Approx(0.5));
  CHECK_FALSE(log.shows(0));
  CHECK_FALSE(linear.shows(std::numeric_limits<double>::quiet_NaN()));
}

TEST_CASE("degenerate ranges still have ticks and finite positions") {
  for (const bool log : {false, true}) {
    report::PlotAxis none(log);
    none.close(0.05, 5);
    CHECK(none.ticks().size() >= 2);
    for (const double v : {1e-300, 1e-9, 5.0, 1e300}) {
      report::PlotAxis one(log);
      one.include(v);
      one.close(0.05, 5);
      CHECK(std::isfinite(one.position(v)));
      CHECK(one.ticks().size() < 51);
    }
  }
  CHECK_FALSE(labels(false, -1e308, 1e308).size() > 10000);
  CHECK(labels(true, 1e-300, 1e300).size() < 200);
  report::PlotAxis given(true);
  given.include(1);
  given.close(0.04, 5, {1, 2, 4, 8});
  CHECK(given.ticks().size() == 4);
  CHECK(given.ticks()[3].label == "8");
}

TEST_CASE("a range of positive values does not begin below zero") {
  report::PlotAxis axis;
  for (const double v : {0.0, 10.0}) axis.include(v);
  axis.close(0.06, 5);
  CHECK(axis.position(0) == 0);
}
