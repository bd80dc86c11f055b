// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objective.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/objectives/continuous_consistency.hpp>

#include "toy_flow_maps.hpp"

using namespace hypersd;
using namespace hypersd::distill;

namespace {

void falls(const std::string& name, double before, double after, double factor) {
  MESSAGE(name << ": distance from the exact flow's end " << before << " -> " << after);
  CAPTURE(name);
  CHECK(after < factor * before);
}

}  // namespace

TEST_CASE("Continuous consistency comes nearer to the flow's ends than the teacher, in 1 step and segment by segment") {
  const auto& teacher = toy_map::teacher();
  const TimeProposal times{.kind = TimeProposal::Kind::uniform};
  const auto one = toy_map::train(Scd<toy_map::Flow>({.times = times, .warm_up = 100}), teacher, 600);
  falls("sCD, 1 step", toy_map::flow_error(toy_map::draw(teacher, 1)), toy_map::flow_error(toy_map::draw(one, 1)), 0.5);
  const auto four = toy_map::train(SegmentedScd<4, toy_map::Flow>({.times = times, .warm_up = 100}), teacher, 600);
  falls("segmented sCD, 4 steps", toy_map::flow_error(toy_map::draw(teacher, 4)),
        toy_map::flow_error(toy_map::draw(four, 4)), 0.5);
  const auto tscd = toy_map::train(ContinuousTscd<4, toy_map::Flow>({.times = times, .warm_up = 100}), teacher, 600);
  falls("continuous TSCD, 4 steps", toy_map::flow_error(toy_map::draw(teacher, 4)),
        toy_map::flow_error(toy_map::draw(tscd, 4)), 0.7);
}
