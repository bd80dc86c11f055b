// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/stage.hpp>

#include <doctest/doctest.h>
#include <vector>

using namespace hypersd::distill;

static_assert(HyperSdStages::size == 4);

TEST_CASE("Algorithm 1 visits 8, 4, 2, 1") {
  std::vector<int> seen;
  HyperSdStages::for_each([&](auto stage, std::size_t i) {
    CHECK(i == seen.size());
    seen.push_back(decltype(stage)::segments);
  });
  CHECK(seen == std::vector<int>{8, 4, 2, 1});
}
