// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/jump_grid.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/timesteps.hpp>

using namespace hypersd;
using namespace hypersd::distill;

static const diffusion::StableDiffusion process;

TEST_CASE("jumps start and end on the student's trailing grid, the teacher stops on its own") {
  for (const int jumps : {1, 2, 4, 8, 16, 3, 128}) {
    const JumpGrid grid(process, jumps, 2);
    const auto own = diffusion::trailing(1000, jumps), teachers = diffusion::trailing(1000, 2 * jumps);
    for (int n = 0; n < jumps; ++n) {
      const auto i = static_cast<std::size_t>(n);
      CAPTURE(jumps);
      CAPTURE(n);
      CHECK(grid.time(n, 0) == own[i]);
      CHECK(grid.time(n, 1) == teachers[2 * i + 1]);
      CHECK(grid.time(n, 2) == (n + 1 < jumps ? own[i + 1] : 0));
      CHECK(grid.jump_at(own[i]) == n);
    }
    CHECK(grid.times({jumps - 1, 0}, 1) == diffusion::Times{teachers.back(), teachers[1]});
  }
}

TEST_CASE("the stages of halving start where the stage before ended") {
  CHECK(halving(16) == std::vector<int>{16, 8, 4, 2, 1});
  CHECK(halving(1) == std::vector<int>{1});
  CHECK_THROWS_AS(halving(12), OptionError);
  CHECK_THROWS_AS(halving(0), OptionError);
}

TEST_CASE("a grid that does not fit, and a time at which no jump starts, are refused") {
  CHECK_THROWS_AS(JumpGrid(process, 0, 2), OptionError);
  CHECK_THROWS_AS(JumpGrid(process, 4, 0), OptionError);
  CHECK_THROWS_AS(JumpGrid(process, 501, 2), OptionError);
  CHECK_THROWS_AS((void)JumpGrid(process, 4, 2).jump_at(998), OptionError);
}
