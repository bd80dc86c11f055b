// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/moment_matching.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/objectives/terminal_velocity.hpp>

#include "continuous.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using continuous::AffineMap;
using continuous::Gaussian;
using diffusion::Edm;
using diffusion::Flow;
using diffusion::Trig;
using diffusion::Unconditional;

namespace {

using Points = Batch<double, Cpu, Unconditional>;

template <class Kernel>
void check_moments(const std::string& name, std::int64_t particles) {
  const continuous::Golden golden("matching");
  const auto student = golden.network<true>("map", true);
  const MomentMatching<Flow, Kernel> objective({.particles = particles, .gap_exponent = 6});
  const auto t = golden.numbers("moments.t"), end = golden.numbers("moments.end");
  typename MomentMatching<Flow, Kernel>::Draws d{t, {}, end};
  for (std::size_t b = 0; b < t.size(); ++b) d.middle.push_back(objective.lower(t[b], end[b]));
  const auto expected = golden.numbers("moments.middle");
  for (std::size_t b = 0; b < t.size(); ++b) CHECK(d.middle[b] == doctest::Approx(expected[b]).epsilon(1e-12));
  golden.check(name, objective.loss_at(student, golden.batch(), d, golden.values("noise")).loss, student);
}

Points data_of(const Gaussian& data, std::int64_t n) {
  return {ops::map(ops::Affine<double>{data.c, data.m}, ops::normal<double>(Shape{n, 1}, stream(1, "data"))), {}};
}

}  // namespace

TEST_CASE("Moment matching: loss and gradient equal PyTorch's") { check_moments<LaplaceKernel>("moments", 3); }

TEST_CASE("Moment matching of one particle by squared distances is consistency training") {
  check_moments<SquaredDistanceKernel>("moments.squares", 1);
  // 2 w (y - z)^2 for one sample.
  const Gaussian data;
  const MomentMatching<Flow, SquaredDistanceKernel> objective({.particles = 1, .gap_exponent = 6});
  const AffineMap student{{[](continuous::Jet t, continuous::Jet s) { return std::pair(t - s, t * s); }}};
  const Points one{Tensor<double>::full(Shape{1, 1}, 0.4), {}};
  const auto z = Tensor<double>::full(Shape{1, 1}, -0.7);
  const double t = 0.9, s = 0.2, r = objective.lower(t, s);
  const auto land = [&](double from) {
    const double x = (1 - from) * 0.4 - from * 0.7;
    return x + (s - from) * ((from - s) * x + from * s);
  };
  const double gap = land(t) - land(r);
  const auto loss = objective.loss_at(student, one, {{t}, {r}, {s}}, z).loss.item();
  CHECK(loss == doctest::Approx(2 * objective.weight(t) * gap * gap));
}

TEST_CASE("Moment matching: the exact flow map of Gaussian data has nearly no loss and no gradient in a large group") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const std::int64_t n = 400;
  const Flow process;
  const MomentMatching<> objective({.particles = n, .gap_exponent = 6});
  const auto batch = data_of(data, n);
  const auto noise = ops::normal<double>(batch.x0.shape(), stream(1, "noise"));
  const auto size = static_cast<std::size_t>(n);
  const MomentMatching<>::Draws d{diffusion::Times(size, 0.9), diffusion::Times(size, objective.lower(0.9, 0.2)),
                                  diffusion::Times(size, 0.2)};
  const auto at = [&](double factor) {
    AffineMap student{{data.exact(process)}};
    student.a.set_value(Tensor<double>::full(Shape{1}, factor));
    const auto loss = objective.loss_at(student, batch, d, noise).loss;
    autograd::backward(loss);
    return std::pair(loss.item(), student.a.grad()[0]);
  };
  const auto exact = at(1), off = at(1.5), under = at(0.5);
  CHECK(exact.first >= 0);
  CHECK(exact.first < 0.2 * off.first);
  CHECK(std::abs(exact.second) < 0.1 * off.second);
  CHECK(off.second > 0);
  CHECK(under.second < 0);
}

TEST_CASE("Moment matching: times, weights and refusals") {
  const MomentMatching<Edm> objective;
  const auto d = objective.draw(40, {1, 2, 8});
  for (std::size_t b = 0; b < d.t.size(); ++b) {
    CHECK(d.t[b] == d.t[b - b % 4]);
    CHECK((d.end[b] == d.end[b - b % 4] && d.end[b] >= 0.002 && d.end[b] <= d.middle[b] && d.middle[b] <= d.t[b]));
  }
  CHECK(MomentMatching<>().weight(0) == 0);
  CHECK(std::isfinite(MomentMatching<>().weight(1)));
  CHECK(std::isfinite(MomentMatching<Trig>({.alpha_power = 2}).weight(0)));
  CHECK_THROWS_AS((void)objective.draw(6, {1, 2}), ShapeError);
  CHECK_THROWS_AS(MomentMatching<>({.particles = 0}), OptionError);
  CHECK_THROWS_AS(MomentMatching<>({.alpha_power = 0}), OptionError);
}

TEST_CASE("Terminal velocities: loss and gradient equal PyTorch's up to the square of the step") {
  const continuous::Golden golden("matching");
  const auto student = golden.network<true>("map", true);
  const TerminalVelocity<> objective({.flow_weight = 0.5, .step = 1e-4});
  TerminalVelocity<>::Draws d{{golden.numbers("terminal.t"), golden.numbers("terminal.end"), golden.numbers("scale")},
                              golden.numbers("terminal.flow")};
  const auto loss = objective
                        .loss_at(student, golden.network<false>("teacher"), golden.network<true>("target"),
                                 golden.batch(), d, golden.values("noise"), golden.values("flow_noise"))
                        .loss;
  CHECK(loss.item() == doctest::Approx(golden.values("terminal.loss").item()).epsilon(1e-6));
  autograd::backward(loss);
  for (const auto& [p, var] : student.parameters()) {
    const auto goal = golden.values(std::string("terminal.grad.") + p);
    double gap = 0, size = 0;
    for (std::int64_t i = 0; i < goal.size(); ++i)
      gap += std::pow(var.grad()[i] - goal[i], 2), size += goal[i] * goal[i];
    CHECK(std::sqrt(gap / size) < 1e-6);
  }
}

TEST_CASE("Terminal velocities: the exact flow map has no loss with an exact teacher") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const auto check = [&](const auto& process, double step) {
    CAPTURE(process.name());
    const TerminalVelocity<std::remove_cvref_t<decltype(process)>> objective(
        process, {.times = {.kind = TimeProposal::Kind::uniform}, .source = FlowSource::teacher, .step = step});
    AffineMap student{{data.exact(process)}}, other{{data.exact(process)}};
    other.a.set_value(Tensor<double>::full(Shape{1}, 1.2));
    const auto batch = data_of(data, 32);
    const auto exact = objective.loss(student, data.teacher(process), student, batch, {1, 2});
    autograd::backward(exact.loss);
    CHECK(exact.loss.item() < 1e-6 * objective.loss(other, data.teacher(process), other, batch, {1, 2}).loss.item());
    CHECK(std::abs(student.a.grad()[0]) < 1e-3);
  };
  check(Flow(), 1e-3);
  check(Trig(), 1e-3);
}

TEST_CASE("Terminal velocities: draws leave room for the jump; a target without a second time is refused") {
  const TerminalVelocity<> objective;
  const auto d = objective.draw(200, {1, 2});
  double longest = 0;
  for (std::size_t b = 0; b < d.flow.size(); ++b) {
    CHECK((d.jump.end[b] >= 0 && d.jump.end[b] < d.jump.t[b] && d.jump.t[b] <= 1));
    CHECK((d.flow[b] >= 0 && d.flow[b] <= 1));
    longest = std::max(longest, d.jump.t[b] - d.jump.end[b]);
  }
  CHECK(longest > 0.7);
  const Gaussian data;
  AffineMap student{{data.exact(Flow())}};
  CHECK_THROWS_WITH_AS((void)objective.loss(student, data.teacher(Flow()), data.teacher(Flow()), data_of(data, 4), {}),
                       "flow map: target_velocity, but the target network has no second time", OptionError);
  CHECK_THROWS_AS(TerminalVelocity<>({.step = 0}), OptionError);
  CHECK_THROWS_AS(TerminalVelocity<>({.flow_weight = -1}), OptionError);
}
