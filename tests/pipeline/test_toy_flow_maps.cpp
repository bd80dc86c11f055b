// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objective.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/fake_score.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/distill/objectives/easy_consistency.hpp>
#include <hypersd/distill/objectives/flow_map.hpp>
#include <hypersd/distill/objectives/mean_flow.hpp>
#include <hypersd/distill/objectives/moment_matching.hpp>
#include <hypersd/distill/objectives/pi_flow.hpp>
#include <hypersd/distill/objectives/rcm.hpp>
#include <hypersd/distill/objectives/shortcut.hpp>
#include <hypersd/distill/objectives/terminal_velocity.hpp>
#include <hypersd/distill/objectives/truncated_consistency.hpp>

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
  const auto one = toy_map::train(Scd<toy_map::Flow>({.times = times, .warm_up = 50}), teacher, 300);
  falls("sCD, 1 step", toy_map::flow_error(toy_map::draw(teacher, 1)), toy_map::flow_error(toy_map::draw(one, 1)), 0.5);
  const auto four = toy_map::train(SegmentedScd<4, toy_map::Flow>({.times = times, .warm_up = 50}), teacher, 300);
  falls("segmented sCD, 4 steps", toy_map::flow_error(toy_map::draw(teacher, 4)),
        toy_map::flow_error(toy_map::draw(four, 4)), 0.5);
  const auto tscd = toy_map::train(ContinuousTscd<4, toy_map::Flow>({.times = times, .warm_up = 50}), teacher, 300);
  falls("continuous TSCD, 4 steps", toy_map::flow_error(toy_map::draw(teacher, 4)),
        toy_map::flow_error(toy_map::draw(tscd, 4)), 0.85);
}

TEST_CASE("Easy and truncated consistency and rCM come nearer to the flow's ends than the teacher in 1 step") {
  using toy_map::Flow;
  const auto& teacher = toy_map::teacher();
  const double before = toy_map::flow_error(toy_map::draw(teacher, 1));
  const auto check = [&](const char* name, const auto& student, double factor) {
    falls(name, before, toy_map::flow_error(toy_map::draw(student, 1)), factor);
  };
  const TimeProposal times{.kind = TimeProposal::Kind::uniform};
  const EasyConsistencyOptions easy{.times = times, .nearby = {.stage_steps = 60}, .huber = 0.06};
  const auto first = toy_map::train(EasyConsistency<Flow>(easy), teacher, 300);
  check("easy consistency", first, 0.6);
  const TruncatedConsistency<Flow> second({.nearby = {.stage = 4}, .huber = 0.06});
  check("truncated consistency", toy_map::train_by(first, second, first, 150, 1e-3), 0.4);
  distill::FakeScore<toy_map::Velocity, Flow> fake(nn::deep_copy(teacher), Flow());
  check(
      "rCM",
      toy_map::train(rcm(Flow(), &fake, {.consistency = {.times = times, .warm_up = 50}, .matching = {.guidance = 1}}),
                     teacher, 300),
      0.5);
}

namespace {

/// `toy_map::Velocity` with several predictions, which begin as its own.
struct Policies {
  using value_type = double;
  using device_type = Cpu;
  static constexpr std::int64_t nodes = 6;
  nn::Linear<double> in, mid, out{64, 2 * nodes};

  Policies() = default;
  explicit Policies(const toy_map::Velocity& v) : in(nn::deep_copy(v.in)), mid(nn::deep_copy(v.mid)) {
    nn::init_parameters(out, 1, "out");
    for (std::int64_t i = 0; i < nodes; ++i) {
      out.weight.get().value().slice(2 * i, 2 * i + 2).copy_from(v.out.weight.get().value());
      out.bias.get().value().slice(2 * i, 2 * i + 2).copy_from(v.out.bias.get().value());
    }
  }
  Var<double> operator()(const Var<double>& x, const nn::Times<double>& t, const diffusion::Unconditional&) const {
    const auto h = in(autograd::concat_channels(std::vector<Var<double>>{x, toy_map::waves(t)}));
    return out(autograd::silu(mid(autograd::silu(h))));
  }
  template <class F>
  void visit(F&& f, const std::string& prefix = "") {
    nn::visit_members(f, prefix, "in", in, "mid", mid, "out", out);
  }
};

}  // namespace

TEST_CASE("Policies of two segments come nearer to the flow's ends than two steps of the teacher") {
  const auto& teacher = toy_map::teacher();
  const Policies start(teacher);
  const auto ends = [](const Policies& net) {
    return toy_map::flow_error(sample_policies(toy_map::Flow(), net,
                                               ops::normal<double>(Shape{256, 2}, stream(99, "evaluation")),
                                               diffusion::Unconditional{}, 2, Policies::nodes, 16));
  };
  const double before = toy_map::flow_error(toy_map::draw(teacher, 2));
  CHECK(ends(start) == doctest::Approx(before));  // it begins as the teacher's two steps
  const PiFlow<> objective({.segments = 2, .nodes = Policies::nodes, .steps = 16});
  falls("pi-Flow, 2 evaluations", before, ends(toy_map::train(objective, start, 300)), 0.6);
}

TEST_CASE("Students with a second time come nearer to the flow's ends than the teacher, in 1 step and in 4") {
  using toy_map::Flow;
  const toy_map::Map start(toy_map::teacher());
  const double one = toy_map::flow_error(toy_map::draw(start, 1)), four = toy_map::flow_error(toy_map::draw(start, 4));
  const auto check = [&](const std::string& name, const auto& objective, double factor, double factor_4) {
    const auto student = toy_map::train(objective, start, 300);
    falls(name + ", 1 step", one, toy_map::flow_error(toy_map::draw(student, 1)), factor);
    if (factor_4 > 0) falls(name + ", 4 steps", four, toy_map::flow_error(toy_map::draw(student, 4)), factor_4);
  };
  const TimeProposal uniform{.kind = TimeProposal::Kind::uniform};
  const auto teacher = FlowSource::teacher;
  check("continuous TSCD, k = 1, told the end", ContinuousTscd<1, Flow>({.times = uniform, .warm_up = 50}), 0.75, 0.7);
  // Weights by the residual are biased where it is not symmetric, as in two dimensions.
  check("mean flow", MeanFlow<>({.times = uniform, .same_share = 0.5, .power = 0}), 0.6, 0.9);
  check("improved mean flow", ImprovedMeanFlow<>({.times = uniform, .same_share = 0.5, .power = 0}), 0.6, 0.9);
  check("Lagrangian", LagrangianFlowMap<>({.same_share = 0.25, .source = teacher}), 0.4, 0.7);
  check("Lagrangian, self, through dX/ds", LagrangianFlowMap<>({.same_share = 0.5, .through_derivative = true}), 0.4,
        0.8);
  // Its tangent needs the derivative by x; published as the least stable. In 4 steps it does not gain so soon.
  check("Eulerian", EulerianFlowMap<>({.same_share = 0.25, .source = teacher}), 0.7, 0);
  check("progressive", ProgressiveFlowMap<>({.same_share = 0.25, .source = teacher}), 0.6, 0.7);
  // It learns distributions; its jumps need not stay on the trajectory, and in 4 steps they do not gain.
  check("moment matching", MomentMatching<>({.gap_exponent = 8}), 0.7, 0);
  check("terminal velocity", TerminalVelocity<>(), 0.5, 0.8);
  check("shortcut", Shortcut<>({.levels = 5, .shortcut_share = 0.5}), 0.5, 0.8);
}
