// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/segments.hpp>

#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/distill/ends.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace hypersd::distill;

static const diffusion::Process<diffusion::Linear, diffusion::Epsilon> process;

// The expected values are Eq 11 worked by hand for T = 1000 and T = 999, and the trailing grids 124, 249, ..., 999.
TEST_CASE("Eq 11 as printed, with Algorithm 1's floor") {
  struct Row {
    int t, k8, k4, k2, k8_999, k4_999, k2_999;
  };
  const Row rows[] = {{24, 0, 0, 0, 0, 0, 0},
                      {124, 0, 0, 0, 124, 0, 0},
                      {139, 125, 0, 0, 124, 0, 0},
                      {249, 125, 0, 0, 248, 249, 0},
                      {274, 250, 250, 0, 248, 249, 0},
                      {499, 375, 250, 0, 496, 498, 499},
                      {524, 500, 500, 500, 496, 498, 499},
                      {749, 625, 500, 500, 744, 747, 499},
                      {874, 750, 750, 500, 868, 747, 499},
                      {899, 875, 750, 500, 868, 747, 499}};
  for (const Row& r : rows) {
    CAPTURE(r.t);
    CHECK(PaperBoundary::start(r.t, 8, 1000) == r.k8);
    CHECK(PaperBoundary::start(r.t, 4, 1000) == r.k4);
    CHECK(PaperBoundary::start(r.t, 2, 1000) == r.k2);
    CHECK(PaperBoundary::start(r.t, 1, 1000) == 0);
    CHECK(PaperBoundary::start(r.t, 8, 999) == r.k8_999);
    CHECK(PaperBoundary::start(r.t, 4, 999) == r.k4_999);
    CHECK(PaperBoundary::start(r.t, 2, 999) == r.k2_999);
  }
  CHECK(PaperBoundary::start(999, 8, 1000) == 875);
}

TEST_CASE("Trailing boundaries: the sampler's grid, each end in the segment below") {
  struct Row {
    int t, k8, k4, k2;
  };
  const Row rows[] = {{24, 0, 0, 0},        {124, 0, 0, 0},       {139, 124, 0, 0},     {149, 124, 0, 0},
                      {249, 124, 0, 0},     {259, 249, 249, 0},   {274, 249, 249, 0},   {499, 374, 249, 0},
                      {519, 499, 499, 499}, {749, 624, 499, 499}, {874, 749, 749, 499}, {899, 874, 749, 499},
                      {999, 874, 749, 499}};
  for (const Row& r : rows) {
    CAPTURE(r.t);
    CHECK(TrailingBoundary::start(r.t, 8, 1000) == r.k8);
    CHECK(TrailingBoundary::start(r.t, 4, 1000) == r.k4);
    CHECK(TrailingBoundary::start(r.t, 2, 1000) == r.k2);
    CHECK(TrailingBoundary::start(r.t, 1, 1000) == 0);
  }
}

TEST_CASE("No time is its own boundary under the trailing rule, but 0") {
  for (const int k : {1, 2, 3, 4, 7, 8, 40})
    for (int t = 0; t < 1000; ++t) {
      const int start = TrailingBoundary::start(t, k, 1000);
      REQUIRE(start >= 0);
      REQUIRE((start < t || t == 0));
    }
}

TEST_CASE("How many grid points have no end point at or below the teacher's step") {
  const auto empty = [](int step, int k, auto rule) {
    int count = 0;
    for (int n = 1; n * step <= 1000; ++n) {
      const int t = n * step - 1, previous = n > 1 ? t - step : 0;
      count += decltype(rule)::start(t, k, 1000) > previous ? 1 : 0;
    }
    return count;
  };
  CHECK(empty(25, 8, PaperBoundary{}) == 7);
  CHECK(empty(25, 4, PaperBoundary{}) == 3);
  CHECK(empty(25, 2, PaperBoundary{}) == 1);
  CHECK(empty(20, 8, PaperBoundary{}) == 7);
  for (const int k : {8, 4, 2, 1}) CHECK(empty(25, k, TrailingBoundary{}) == 0);
  CHECK(empty(20, 8, TrailingBoundary{}) == 6);  // 20 does not divide 125: the step to the boundary is shortened
}

TEST_CASE("Times and segment counts out of range are refused") {
  CHECK_THROWS_WITH_AS(TrailingBoundary::start(1000, 8, 1000), "segments: time 1000 is not in [0, 999]", OptionError);
  CHECK_THROWS_AS(TrailingBoundary::start(-1, 8, 1000), OptionError);
  CHECK_THROWS_WITH_AS(PaperBoundary::start(3, 0, 1000), "segments: k = 0 for 1000 training times", OptionError);
  CHECK_THROWS_AS((void)WithinSegments<>{41}.range(SolverGrid(process), 3), OptionError);
  CHECK_THROWS_AS((void)WithinSegments<>{0}.range(SolverGrid(process), 3), OptionError);
  CHECK_THROWS_AS(SolverGrid(process, 0), OptionError);
  CHECK_THROWS_AS(SolverGrid(process, 30), OptionError);
}

TEST_CASE("The range of end points on the grid") {
  const SolverGrid grid(process);
  CHECK(grid[0] == 0);
  CHECK(grid[1] == 24);
  CHECK(grid[40] == 999);
  for (const int k : {8, 4, 2, 1}) {
    const WithinSegments<> rule{k};
    for (int n = 1; n <= 40; ++n) {
      const EndRange r = rule.range(grid, n);
      const int start = TrailingBoundary::start(static_cast<int>(grid[n]), k, 1000);
      CHECK(grid[r.first] == start);
      CHECK(r.last == n - 1);
      CHECK(r.last - r.first + 1 == 1 + (n - 1) % (40 / k));
    }
  }
  // The first point of a segment has its boundary as the only choice: the anchor of the recursion.
  CHECK(WithinSegment<8>().range(grid, 6).first == 5);
  // Off the grid's boundaries (here: as printed) the teacher's step is cut at the segment's start.
  const EndRange cut = WithinSegments<PaperBoundary>{8}.range(grid, 6);
  CHECK(cut.floor == 125);
}
