// SPDX-License-Identifier: Apache-2.0
// Every solver on every process against the exact flow of Gaussian data and of a mixture.
#include <hypersd/diffusion/processes.hpp>

#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/dpmpp_3m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/diffusion/solvers/unipc.hpp>

#include "diffusion/follow.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;
using follow::Point;

namespace {

const Mixture gaussian({{1, {0.3, -0.2}, 0.5}}), mixture({{1, {-1, 0.5}, 0.4}, {2, {1, 0}, 0.5}});
// Log-SNRs inside those of all processes: sigma / alpha from 7.4 to 0.14.
constexpr double from = -2, to = 2;

struct Ends {
  std::vector<Point> start, end;
};
/// Points y = x / alpha and where the flow takes them.
const Ends& ends(const Mixture& data) {
  const auto make = [](const Mixture& of) {
    Ends out;
    for (const double z : {-1.3, -0.2, 0.4, 1.1}) {
      out.start.push_back({z * std::exp(-from), 0.5 - z * std::exp(-from)});
      out.end.push_back(follow::flow(of, out.start.back(), from, to));
    }
    return out;
  };
  static const Ends normal = make(gaussian), mixed = make(mixture);
  return &data == &gaussian ? normal : mixed;
}

template <class Process, class S>
double error(const Process& process, const S& solver, const Mixture& data, int n) {
  return follow::error(process, solver, data, ends(data).start, ends(data).end, from, to, n);
}
template <class Process, class S>
double order(const Process& process, const S& solver, const Mixture& data, int n) {
  return std::log2(error(process, solver, data, n) / error(process, solver, data, 2 * n));
}

/// The processes on which solvers are tested.
template <class F>
void each(F&& f) {
  f(Flow{});
  f(Flow{RectifiedFlow{{.shift = 3, .time_scale = 1000}}});
  f(Edm{});
  f(Trig{});
  f(StableDiffusion{});
  f(StableDiffusionV{});
}

/// Data N(m, c^2) at a time: mean and variance.
constexpr double m = 0.3, c = 0.5;
struct Moments {
  double mean, variance;
};
Moments marginal(const Level& l) { return {l.alpha * m, l.alpha * l.alpha * c * c + l.sigma * l.sigma}; }
/// The prediction p x + q whose jump to level `s` lands where the flow does.
struct Affine {
  double p, q;
};
template <class Process>
Affine consistent(const Process& process, Time t, Time s) {
  const Moments a = marginal(process.level(t)), b = marginal(process.level(s));
  const double ratio = std::sqrt(b.variance / a.variance);
  const Form jump = process.jump(t, s);
  return {(ratio - jump.x) / jump.prediction, (b.mean - ratio * a.mean) / jump.prediction};
}
Moments stepped(const Moments& x, const StepCoefficients& k, const Affine& f) {
  const double slope = k.x + k.prediction * f.p;
  return {slope * x.mean + k.prediction * f.q, slope * slope * x.variance + k.noise * k.noise};
}

}  // namespace

TEST_CASE("the reference flow is the Gaussian's closed form") {
  const Ends& e = ends(gaussian);
  const auto deviation = [](double lambda) { return std::sqrt(c * c + std::exp(-2 * lambda)); };
  for (std::size_t i = 0; i < e.start.size(); ++i)
    CHECK(std::abs(e.end[i][0] - 0.3 - deviation(to) / deviation(from) * (e.start[i][0] - 0.3)) < 1e-10);
}

TEST_CASE("solvers have their orders of convergence on every process") {
  each([](const auto& process) {
    CAPTURE(process.name());
    for (const Mixture* data : {&gaussian, &mixture}) {
      CAPTURE(data->components().size());
      CHECK(std::abs(order(process, DdimOde{}, *data, 160) - 1) < 0.05);
      CHECK(std::abs(order(process, Euler{}, *data, 160) - 1) < 0.05);
      CHECK(std::abs(order(process, Heun{}, *data, 80) - 2) < 0.1);
      CHECK(std::abs(order(process, DpmPp2M{}, *data, 80) - 2) < 0.1);
      CHECK(std::abs(order(process, DpmPp3M{}, *data, 80) - 3) < 0.2);
      // The corrector adds one to the predictor's second order.
      CHECK(std::abs(order(process, UniPc{}, *data, 80) - 3) < 0.1);
    }
  });
}

TEST_CASE("the processes have the same flow map between equal log-SNRs, in x / alpha") {
  each([](const auto& process) {
    CAPTURE(process.name());
    for (const Mixture* data : {&gaussian, &mixture}) {
      CHECK(error(process, UniPc{}, *data, 400) < 1e-6);
      CHECK(error(process, DpmPp3M{}, *data, 400) < 1e-6);
    }
  });
}

TEST_CASE("in x / alpha and log-SNR the steps themselves are the same on every process") {
  const auto same = [](const auto& solver) {
    const double expected = error(Flow{}, solver, mixture, 20);
    each([&](const auto& process) { CHECK(error(process, solver, mixture, 20) == doctest::Approx(expected)); });
  };
  same(DdimOde{});
  same(Euler{});
  same(DpmPp2M{});
  same(DpmPp3M{});
  same(UniPc{});
}

TEST_CASE("chains of LCM and TCD on a consistency model keep the marginals of Gaussian data") {
  each([](const auto& process) {
    CAPTURE(process.name());
    using P = std::decay_t<decltype(process)>;
    Times times;
    for (const double lambda : {-2.0, -0.7, 0.1, 1.2}) times.push_back(process.time_at(lambda));
    const double tolerance = P::discrete ? 1e-6 : 1e-12;  // on a table LCM's c_skip leaves a trace of x
    Moments x = marginal(process.level(times[0]));
    for (std::size_t i = 0; i < times.size(); ++i) {
      const bool last = i + 1 == times.size();
      const StepTimes t{times[i], last ? process.clean() : times[i + 1], last};
      x = stepped(x, Lcm{}.step(process, t), consistent(process, t.from, process.clean()));
      const Moments expected = marginal(process.level(t.to));
      CHECK(std::abs(x.mean - expected.mean) < tolerance);
      CHECK(std::abs(x.variance / expected.variance - 1) < tolerance);
    }
    for (const double eta : {0.0, 0.3, 0.8, 1.0}) {
      CAPTURE(eta);
      const Tcd tcd{{eta}};
      x = marginal(process.level(times[0]));
      for (std::size_t i = 0; i < times.size(); ++i) {
        const bool last = i + 1 == times.size();
        const StepTimes t{times[i], last ? process.clean() : times[i + 1], last};
        const Time landing = last ? t.to : tcd.landing(process, t.to);
        CHECK(landing <= t.to);
        const StepCoefficients k = tcd.step(process, t);
        CHECK((k.noise > 0) == (landing < t.to));
        if (eta == 0) CHECK(landing == t.to);
        x = stepped(x, k, consistent(process, t.from, landing));
        const Moments expected = marginal(process.level(t.to));
        CHECK(std::abs(x.mean - expected.mean) < 1e-12 * (1 + std::abs(k.prediction)));
        CHECK(std::abs(x.variance / expected.variance - 1) < 1e-11);
      }
    }
  });
  // In continuous time TCD lands on the share 1 - eta of the angle.
  const Flow flow;
  const auto angle = [&](Time t) { return std::atan2(flow.sigma(t), flow.alpha(t)); };
  CHECK(angle(Tcd{{0.3}}.landing(flow, 0.6)) == doctest::Approx(0.7 * angle(0.6)).epsilon(1e-12));
  CHECK(Tcd{{1}}.landing(flow, 0.6) == 0);
  CHECK(Tcd{{0}}.landing(flow, 0.6) == 0.6);
}

TEST_CASE("from pure noise a rectified flow's solvers stay finite, and reach clean data") {
  const Flow flow;
  const auto run = [&](const auto& solver) {
    Times times = flow.grid(64);
    std::vector<StepTimes> before;
    Point x{0.8, -0.3};
    std::array<Point, kMemories> memory;
    memory.fill(Point(2, 0));
    for (std::size_t i = 0; i < times.size(); ++i) {
      const bool last = i + 1 == times.size();
      const StepTimes t{times[i], last ? flow.clean() : times[i + 1], last};
      for (const Evaluation& e : evaluations_of(solver, flow, t, before)) {
        REQUIRE(std::isfinite(e.update.x + e.update.prediction + e.update.memory[0] + e.update.memory[1]));
        x = follow::advanced(e, x, follow::exact(flow, gaussian, x, e.time), memory);
      }
      before.push_back(t);
    }
    // m + c z: the data's share of the noise it began with.
    return std::max(std::abs(x[0] - (0.3 + 0.5 * 0.8)), std::abs(x[1] - (-0.2 - 0.5 * 0.3)));
  };
  CHECK(run(DdimOde{}) < 0.02);
  CHECK(run(Euler{}) < 0.02);
  CHECK(run(Heun{}) < 0.002);
  CHECK(run(DpmPp2M{}) < 0.02);
  CHECK(run(DpmPp3M{}) < 0.02);
  CHECK(run(UniPc{}) < 0.02);
}
