// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/pi_flow.hpp>
//
#include <doctest/doctest.h>

#include "continuous.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using continuous::Gaussian;
using diffusion::Flow;
using diffusion::Trig;
using diffusion::Unconditional;

namespace {

template <class Process>
void check_golden(const std::string& kind) {
  const continuous::Golden golden("pi_flow");
  const auto student = golden.network<false>("student", true);
  const PiFlow<Process> objective({.nodes = 3, .states = 2, .steps = 4});
  const typename PiFlow<Process>::Draws d{golden.numbers(kind + ".from"),
                                          golden.numbers(kind + ".to"),
                                          {golden.numbers(kind + ".first"), golden.numbers(kind + ".second")},
                                          golden.numbers("scale")};
  golden.check(
      kind,
      objective.loss_at(student, golden.network<false>("teacher"), golden.batch(), d, golden.values("noise")).loss,
      student);
}

/// The student of one element that gives the clean data of Gaussian data along the exact flow, at `nodes` times of the
/// segment.
struct ExactPolicy {
  Gaussian data;
  int nodes;
  diffusion::Times grid;
  Var<double> operator()(const Var<double>& x, const nn::Times<double>& t, const Unconditional&) const {
    const auto variance = [&](double time) { return (1 - time) * (1 - time) * data.c * data.c + time * time; };
    Tensor<double> out(Shape{x.dim(0), nodes});
    for (std::int64_t b = 0; b < x.dim(0); ++b) {
      const double from = t.value[b];
      double to = 0;
      for (const double g : grid)
        if (g < from - 1e-9) to = std::max(to, g);
      for (int i = 0; i < nodes; ++i) {
        const double at = from + (to - from) * i / std::max(1, nodes - 1);
        const double x0 = data.m + (1 - at) * data.c * data.c / std::sqrt(variance(at) * variance(from)) *
                                       (x.value()[b] - (1 - from) * data.m);
        out[b * nodes + i] = (x.value()[b] - x0) / from;
      }
    }
    return Var<double>(out);
  }
};

}  // namespace

TEST_CASE("Policy-based flow: loss and gradient equal PyTorch's") {
  check_golden<Flow>("flow");
  check_golden<Trig>("trig");
}

TEST_CASE("The exact policy of Gaussian data loses its loss with the square of the grid; one of a point has none") {
  const auto loss = [](double deviation, int nodes, int steps) {
    const Gaussian data{.m = 0.3, .c = deviation};
    const PiFlow<> objective({.segments = 2, .nodes = nodes, .steps = steps, .t_min = 0.1});
    const auto z = ops::normal<double>(Shape{64, 1}, stream(1, "data"));
    const Batch<double, Cpu, Unconditional> batch{ops::map(ops::Affine<double>{data.c, data.m}, z), {}};
    return objective.loss(ExactPolicy{data, nodes, Flow().grid(2)}, data.teacher(Flow()), 0, batch, {1, 2}).loss.item();
  };
  const double ddim = loss(0.5, 1, 512), coarse = loss(0.5, 5, 2048), fine = loss(0.5, 9, 2048);
  CHECK(coarse < 0.02 * ddim);
  CHECK(fine < coarse / 8);                          // 16 but for the steps
  CHECK(loss(0.5, 33, 64) < loss(0.5, 33, 16) / 8);  // and of the steps
  CHECK(loss(1e-7, 1, 8) < 1e-12);
}

TEST_CASE("Samples of the exact policy are where the flow of Gaussian data ends") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const auto z = ops::normal<double>(Shape{32, 1}, stream(5, "noise"));
  const auto x = sample_policies(Flow(), ExactPolicy{data, 33, Flow().grid(2)}, z, Unconditional{}, 2, 33, 256);
  for (std::int64_t b = 0; b < 32; ++b) CHECK(x[b] == doctest::Approx(data.m + data.c * z[b]).epsilon(5e-3));
}

TEST_CASE("Policy-based flow: times lie in their segment; refusals") {
  const PiFlow<> objective({.segments = 4, .guidance_max = 3});
  const auto d = objective.draw(200, {1, 2});
  std::vector<int> seen(4);
  for (std::size_t b = 0; b < 200; ++b) {
    ++seen[static_cast<std::size_t>(4 - 4 * d.from[b])];
    CHECK(d.to[b] == doctest::Approx(d.from[b] - 0.25));
    for (const auto& t : d.t) CHECK((t[b] >= std::max(d.to[b], 0.02) && t[b] <= d.from[b]));
    CHECK((d.guidance[b] >= 1 && d.guidance[b] <= 3));
  }
  CHECK(*std::min_element(seen.begin(), seen.end()) > 25);
  CHECK_THROWS_AS(PiFlow<>({.segments = 0}), OptionError);
  CHECK_THROWS_AS(PiFlow<>({.t_min = 0}), OptionError);
  const continuous::Golden golden("pi_flow");
  CHECK_THROWS_WITH_AS(
      PiFlow<>({.nodes = 4})
          .loss(golden.network<false>("student"), golden.network<false>("teacher"), 0, golden.batch(), {}),
      doctest::Contains("4 nodes"), ShapeError);
}
