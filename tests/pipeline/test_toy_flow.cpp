// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objective.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/objectives/continuous_consistency.hpp>

#include "toy_flow.hpp"

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
  const auto& teacher = toy_flow::teacher();
  const TimeProposal times{.kind = TimeProposal::Kind::uniform};
  const auto one = toy_flow::train(Scd<toy_flow::Flow>({.times = times, .warm_up = 100}), teacher, 600);
  falls("sCD, 1 step", toy_flow::flow_error(toy_flow::draw(teacher, 1)), toy_flow::flow_error(toy_flow::draw(one, 1)),
        0.5);
  const auto four = toy_flow::train(SegmentedScd<4, toy_flow::Flow>({.times = times, .warm_up = 100}), teacher, 600);
  falls("segmented sCD, 4 steps", toy_flow::flow_error(toy_flow::draw(teacher, 4)),
        toy_flow::flow_error(toy_flow::draw(four, 4)), 0.5);
  const auto tscd = toy_flow::train(ContinuousTscd<4, toy_flow::Flow>({.times = times, .warm_up = 100}), teacher, 600);
  falls("continuous TSCD, 4 steps", toy_flow::flow_error(toy_flow::draw(teacher, 4)),
        toy_flow::flow_error(toy_flow::draw(tscd, 4)), 0.7);
}
