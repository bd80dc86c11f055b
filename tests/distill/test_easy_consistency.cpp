// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/easy_consistency.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/objectives/truncated_consistency.hpp>
#include <numbers>

#include "continuous.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using continuous::AffineStudent;
using continuous::Gaussian;
using diffusion::Edm;
using diffusion::Flow;
using diffusion::Unconditional;

namespace {

using Points = Batch<double, Cpu, Unconditional>;

/// Pairs with the noise levels `eta` of a golden file.
template <class Process>
NearbyDraws pairs(const NearbyTimes& nearby, const Process& process, const std::vector<double>& eta,
                  const std::vector<double>& scale, const std::vector<double>& weight = {}) {
  NearbyDraws out;
  for (std::size_t b = 0; b < eta.size(); ++b)
    nearby.add(out, process, eta[b], 0, scale[b], weight.empty() ? 1 : weight[b]);
  return out;
}

template <class Process>
void check_easy(const std::string& kind) {
  const continuous::Golden golden("matching");
  const auto teacher = golden.network<false>("teacher");
  for (const FlowSource source : {FlowSource::data, FlowSource::teacher}) {
    const bool taught = source == FlowSource::teacher;
    const auto student = golden.network<false>("student", true);
    const EasyConsistency<Process> objective(
        {.nearby = {.stage = taught ? 2 : 0}, .huber = taught ? 0.06 : 0, .source = source});
    const auto draws =
        pairs(objective.options.nearby, objective.process, golden.numbers(kind + ".eta"), golden.numbers("scale"));
    golden.check("easy." + kind + (taught ? ".teacher" : ""),
                 objective.loss_at(student, teacher, golden.batch(), draws, golden.values("noise")).loss, student);
  }
}

/// The exact consistency function of `data` on EDM; its jump to clean data is exact.
AffineStudent consistency_function(const Gaussian& data) {
  return {[data](continuous::Jet n, continuous::Jet) { return data.between(Edm(), n, -100.0); }};
}
Points data_of(const Gaussian& data, std::int64_t n) {
  return {ops::map(ops::Affine<double>{data.c, data.m}, ops::normal<double>(Shape{n, 1}, stream(1, "data"))), {}};
}

}  // namespace

TEST_CASE("Easy consistency tuning: loss and gradient equal PyTorch's, from data and by a teacher's step") {
  check_easy<Edm>("edm");
  check_easy<Flow>("flow");
}

TEST_CASE("Easy consistency tuning: noise levels of pairs") {
  const NearbyTimes nearby;
  CHECK(nearby.next(0.1, 0) == 0);
  CHECK(nearby.next(1, 0) == 0);
  CHECK(nearby.next(5, 0) == doctest::Approx(2.366142982));
  CHECK(nearby.next(80, 0) == doctest::Approx(40));
  const NearbyTimes risen{.stage_steps = 10};
  CHECK(risen.gap(9) == 0.5);
  CHECK(risen.gap(25) == 0.125);
  CHECK(risen.gap(100000) == doctest::Approx(0.001));
  const EasyConsistency<Flow> flow({.times = {.deviation = 30}});
  const auto d = flow.draw(50, {3, 4});
  for (std::size_t b = 0; b < d.t.size(); ++b) {
    CHECK(d.t[b] <= 80.0 / 81 + 1e-12);
    CHECK((d.next[b] >= 0 && d.next[b] < d.t[b]));
  }
  CHECK(flow.draw(10, {3, 4, 40}).t[0] == d.t[40]);
}

TEST_CASE("Easy consistency tuning: the exact consistency function of Gaussian data has the loss of its variance") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const std::int64_t n = 20000;
  // Of clean data D(x_t) - D(x_r), both linear in the same data and noise, the variance is
  // 2 c^2 (1 - (c^2 + t r) / (a_t a_r)), a = sqrt(c^2 + .^2).
  const double t = 5, r = 2.366142982, c2 = data.c * data.c;
  const double variance = 2 * c2 * (1 - (c2 + t * r) / std::sqrt((c2 + t * t) * (c2 + r * r)));
  const auto size = static_cast<std::size_t>(n);
  const auto batch = data_of(data, n);
  const auto noise = ops::normal<double>(batch.x0.shape(), stream(1, "noise"));
  const EasyConsistency<Edm> objective;
  const auto draws = pairs({}, Edm(), std::vector<double>(size, t), std::vector<double>(size, 1));
  const auto student = consistency_function(data);
  const auto loss = objective.loss_at(student, student, batch, draws, noise).loss;
  CHECK(loss.item() == doctest::Approx(std::sqrt(2 * variance / std::numbers::pi) / (t - r)).epsilon(0.02));
  // Without data that vary nothing is left.
  const Gaussian point{.m = 0.3, .c = 1e-6};
  const auto exact = consistency_function(point);
  CHECK(objective.loss_at(exact, exact, data_of(point, n), draws, noise).loss.item() < 1e-6);
}

TEST_CASE("Truncated consistency: loss and gradient equal PyTorch's") {
  const continuous::Golden golden("matching");
  const auto student = golden.network<false>("student", true);
  const TruncatedConsistency<Edm> objective;
  const auto draws = pairs(objective.options.nearby, objective.process, golden.numbers("truncated.eta"),
                           golden.numbers("scale"), {0.1, 0.1, 1, 1, 1, 1});
  golden.check(
      "truncated",
      objective.loss_at(student, golden.network<false>("first"), golden.batch(), draws, golden.values("noise")).loss,
      student);
}

TEST_CASE("Truncated consistency: samples at the boundary, and no collapse to a constant") {
  const TruncatedConsistency<Edm> objective;
  const auto d = objective.draw(40, {5, 6});
  int boundary = 0;
  for (std::size_t b = 0; b < d.t.size(); ++b) {
    CHECK((d.t[b] >= 1 - 1e-12 && d.t[b] <= 80));
    const bool at = d.t[b] == doctest::Approx(1).epsilon(1e-12);
    boundary += at ? 1 : 0;
    CHECK(d.weight[b] * (d.t[b] - d.next[b]) == doctest::Approx(at ? 0.1 : 1));
  }
  CHECK(boundary == 10);
  // A student that says the same everywhere agrees with itself, but not with the first stage at the boundary.
  const Gaussian data;
  const auto batch = data_of(data, 200);
  const auto noise = ops::normal<double>(batch.x0.shape(), stream(1, "noise"));
  const auto first = consistency_function(data);
  const AffineStudent constant{[](continuous::Jet n, continuous::Jet) {
    // c_skip x + c_out F = 0.3 on EDM's input x / sqrt(t^2 + s^2).
    const double t = std::exp(4 * n.v), s = 0.5, length = std::sqrt(t * t + s * s);
    return std::pair(continuous::Jet(-s * s / length / (t * s / length)), continuous::Jet(0.3 / (t * s / length)));
  }};
  const auto loss = [&](double share) {
    const TruncatedConsistency<Edm> one({.boundary_share = share});
    return one.loss_at(constant, first, batch, one.draw(200, {1, 2}), noise).loss.item();
  };
  CHECK(loss(0) < 0.05 * loss(1));
}

TEST_CASE("Easy and truncated consistency refuse options out of range") {
  CHECK_THROWS_AS(EasyConsistency<Edm>({.nearby = {.q = 1}}), OptionError);
  CHECK_THROWS_AS(EasyConsistency<Edm>({.nearby = {.closest = 1}}), OptionError);
  CHECK_THROWS_AS(EasyConsistency<Edm>({.huber = -1}), OptionError);
  CHECK_THROWS_AS(TruncatedConsistency<Edm>({.eta_from = 80}), OptionError);
  CHECK_THROWS_AS(TruncatedConsistency<Edm>({.boundary_share = 2}), OptionError);
  CHECK_THROWS_AS(TruncatedConsistency<Edm>({.boundary_weight = -1}), OptionError);
}
