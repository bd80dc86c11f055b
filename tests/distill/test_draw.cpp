// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/draw.hpp>

#include <doctest/doctest.h>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/objective.hpp>
#include <hypersd/distill/objectives/pcm.hpp>
#include <map>
#include <set>

using namespace hypersd;
using namespace hypersd::distill;

namespace {

SolverGrid grid_of(int points = 40) { return SolverGrid(diffusion::StableDiffusion(), points); }

}  // namespace

TEST_CASE("Draws stay in their segment, are uniform, and depend on (seed, step, sample) alone") {
  const SolverGrid grid = grid_of();
  const WithinSegments<> rule{4};
  std::map<diffusion::Time, int> starts, ends_of_999;
  double guidance = 0;
  const int rounds = 400, batch = 64;
  for (int step = 0; step < rounds; ++step) {
    const Draws d = draw(rule, grid, batch, 1.5, 2.5, 7, step);
    for (std::size_t b = 0; b < batch; ++b) {
      const int start = TrailingBoundary::start(static_cast<int>(d.t[b]), 4, 1000);
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
  const SolverGrid grid = grid_of();
  for (int step = 0; step < 20; ++step) {
    for (const diffusion::Time end : draw(ToTheEnd{}, grid, 32, 1, 1, 1, step).end) CHECK(end == 0);
    const Draws one = draw(WithinSegment<1>(), grid, 32, 1, 1, 1, step),
                any = draw(Anywhere{}, grid, 32, 1, 1, 1, step);
    CHECK(one.end == any.end);  // TSCD with one segment is CTM
  }
  CHECK_THROWS_AS(draw(Anywhere{}, grid, 4, 2, 1, 0, 0), OptionError);
}

TEST_CASE("A segment's start is reached also where it is no point of the solver's grid") {
  const auto ends_from = [](const auto& rule, const SolverGrid& grid) {
    std::map<diffusion::Time, std::set<diffusion::Time>> out;
    for (int step = 0; step < 60; ++step) {
      const Draws d = draw(rule, grid, 64, 1, 1, 7, step);
      for (std::size_t b = 0; b < d.t.size(); ++b) {
        CHECK(d.end[b] <= d.previous[b]);
        CHECK(d.previous[b] < d.t[b]);
        out[d.t[b]].insert(d.end[b]);
      }
    }
    return out;
  };
  // 20 does not divide 125: of eight segments the second begins at 124, between the points 119 and 139.
  const auto segments = ends_from(WithinSegment<8>(), grid_of(50)),
             starts = ends_from(ToSegmentStart<8>(), grid_of(50));
  REQUIRE(segments.size() == 50);
  for (diffusion::Time t = 139; t <= 239; t += 20) {
    CAPTURE(t);
    CHECK(*segments.at(t).begin() == 124);
    CHECK(starts.at(t) == std::set<diffusion::Time>{124});
  }
  CHECK(segments.at(179) == std::set<diffusion::Time>{124, 139, 159});
  const auto paper = ends_from(ToSegmentStart<8, PaperBoundary>(), grid_of());
  REQUIRE(paper.size() == 40);
  for (const auto& [t, ends] : paper) {
    CAPTURE(t);
    CHECK(ends == std::set<diffusion::Time>{std::floor(t / 125) * 125});
  }
}

TEST_CASE("An iteration's streams are those of its seed, told apart by name and step") {
  const Stream s = Randomness{7, 3}.stream("a");
  CHECK(s.seed == 7);
  CHECK(s.id == stream(7, "a", 3).id);
}
