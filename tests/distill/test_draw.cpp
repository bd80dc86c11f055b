// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/draw.hpp>

#include <doctest/doctest.h>
#include <hypersd/distill/objective.hpp>
#include <map>

using namespace hypersd;
using namespace hypersd::distill;

TEST_CASE("Draws stay in their segment, are uniform, and depend on (seed, step, sample) alone") {
  const SolverGrid grid;
  const WithinSegments<> rule{4};
  std::map<int, int> starts, ends_of_999;
  double guidance = 0;
  const int rounds = 400, batch = 64;
  for (int step = 0; step < rounds; ++step) {
    const Draws d = draw(rule, grid, batch, 1.5, 2.5, 7, step);
    for (std::size_t b = 0; b < batch; ++b) {
      const int start = TrailingBoundary::start(d.t[b], 4, 1000);
      REQUIRE(d.end[b] >= start);
      REQUIRE(d.end[b] <= d.previous[b]);
      REQUIRE(d.previous[b] < d.t[b]);
      ++starts[d.t[b]];
      if (d.t[b] == 999) ++ends_of_999[d.end[b]];
      guidance += d.guidance[b] / (rounds * batch);
      REQUIRE(d.guidance[b] >= 1.5);
      REQUIRE(d.guidance[b] <= 2.5);
    }
  }
  CHECK(starts.size() == 40);
  const double expected = rounds * batch / 40.0;
  for (const auto& [t, n] : starts) CHECK(std::abs(n - expected) < 5 * std::sqrt(expected));
  CHECK(ends_of_999.size() == 10);  // 749, 774, ..., 974
  CHECK(ends_of_999.begin()->first == 749);
  CHECK(ends_of_999.rbegin()->first == 974);
  CHECK(guidance == doctest::Approx(2.0).epsilon(0.01));
  const Draws whole = draw(rule, grid, 8, 1, 1, 3, 5), part = draw(rule, grid, 4, 1, 1, 3, 5);
  for (std::size_t b = 0; b < 4; ++b) CHECK(whole.end[b] == part.end[b]);
  CHECK(draw(rule, grid, 8, 1, 1, 3, 6).t != whole.t);
}

TEST_CASE("End points of the three objectives") {
  const SolverGrid grid;
  for (int step = 0; step < 20; ++step) {
    for (const int end : draw(ToTheEnd{}, grid, 32, 1, 1, 1, step).end) CHECK(end == 0);
    const Draws one = draw(WithinSegment<1>(), grid, 32, 1, 1, 1, step),
                any = draw(Anywhere{}, grid, 32, 1, 1, 1, step);
    CHECK(one.end == any.end);  // TSCD with one segment is CTM
  }
  CHECK_THROWS_AS(draw(Anywhere{}, grid, 4, 2, 1, 0, 0), OptionError);
}

TEST_CASE("An iteration's streams are those of its seed, told apart by name and step") {
  const Stream s = Randomness{7, 3}.stream("a");
  CHECK(s.seed == 7);
  CHECK(s.id == stream(7, "a", 3).id);
}
