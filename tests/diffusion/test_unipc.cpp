// SPDX-License-Identifier: Apache-2.0
// UniPC's coefficients against its published algorithm, followed literally on vectors.
#include <hypersd/diffusion/solvers/unipc.hpp>

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>

#include "diffusion/follow.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;
using follow::Point;

namespace {

const Mixture mixture({{1, {-1}, 0.4}, {2, {1}, 0.5}});

/// a x + b y.
Point sum(double a, const Point& x, double b, const Point& y) {
  Point out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = a * x[i] + b * y[i];
  return out;
}

/// UniPC of order 2 with B(h) = e^h - 1 (`bh2`), predicting data, lower orders at both ends: the states after each
/// step. Levels are those of the steps and of where the run ends.
struct Literal {
  std::vector<Level> levels;

  /// R and b of the paper's Eq 11 for `order` nodes rk; the weights that solve R rho = b.
  static std::vector<double> weights(const std::vector<double>& rk, double h, int order) {
    const double hh = -h, b_h = std::expm1(hh);
    double phi = std::expm1(hh) / hh - 1, factorial = 1;
    std::vector<double> b;
    for (int i = 1; i <= order; ++i) {
      b.push_back(phi * factorial / b_h);
      factorial *= i + 1;
      phi = phi / hh - 1 / factorial;
    }
    if (order == 1) return {0.5};
    // [1 1; r_0 r_1] rho = b by Cramer's rule.
    const double determinant = rk[1] - rk[0];
    return {(b[0] * rk[1] - b[1]) / determinant, (b[1] - rk[0] * b[0]) / determinant};
  }

  /// From level s to t: (sigma_t / sigma_s) x - alpha_t h phi_1 m_0 - alpha_t B_h sum rho_i D_i.
  static Point moved(const Level& s, const Level& t, const Point& x, const Point& m0, const std::vector<double>& rho,
                     const std::vector<Point>& d) {
    const double factor = t.alpha * std::expm1(-(log_snr(t) - log_snr(s)));
    Point out = sum(t.sigma / s.sigma, x, -factor, m0);
    for (std::size_t i = 0; i < d.size(); ++i) out = sum(1, out, -factor * rho[i], d[i]);
    return out;
  }

  template <class Data>
  std::vector<Point> operator()(Point x, const Data& data) const {
    std::vector<Point> m, out;
    Point last;  // the corrected sample of the step before
    int order_before = 0;
    const std::size_t n = levels.size() - 1;
    const auto lambda = [&](std::size_t i) { return log_snr(levels[i]); };
    for (std::size_t i = 0; i < n; ++i) {
      const Point now = data(x, i);
      if (i > 0) {  // UniC
        const double h = lambda(i) - lambda(i - 1);
        std::vector<double> rk;
        std::vector<Point> d;
        if (order_before == 2) {
          rk.push_back((lambda(i - 2) - lambda(i - 1)) / h);
          d.push_back(sum(1 / rk[0], m[i - 2], -1 / rk[0], m[i - 1]));
        }
        rk.push_back(1);
        d.push_back(sum(1, now, -1, m[i - 1]));
        x = moved(levels[i - 1], levels[i], last, m[i - 1], weights(rk, h, order_before), d);
      }
      m.push_back(now);
      const int order = std::min({2, static_cast<int>(n - i), order_before + 1});
      last = x;
      std::vector<Point> d;
      if (order == 2) {  // UniP
        const double rk = (lambda(i - 1) - lambda(i)) / (lambda(i + 1) - lambda(i));
        d.push_back(sum(1 / rk, m[i - 1], -1 / rk, now));
      }
      x = moved(levels[i], levels[i + 1], x, now, {0.5}, d);
      out.push_back(x);
      order_before = order;
    }
    return out;
  }
};

/// Largest difference between the sampler's states and the literal ones.
template <class Process>
double difference(const Process& process, const Steps& steps, EndPoint end) {
  const Times times = steps.times(process);
  Literal literal;
  for (const Time t : times) literal.levels.push_back(process.level(t));
  literal.levels.push_back(process.level(process.time(end)));
  const auto noise = numbers::normal<double>(Shape{1, 6}, "unipc");
  Point start(noise.data(), noise.data() + noise.size());
  for (double& v : start) v *= process.starting_scale(times[0]);
  const auto states = literal(start, [&](const Point& x, std::size_t i) {
    Point out;
    for (const double v : x) {
      Point one(1);
      mixture.x0(Point{v}, literal.levels[i], one);
      out.push_back(one[0]);
    }
    return out;
  });
  // Rows of the batch are single numbers.
  const auto net = [&](const Tensor<double>& x, const Tensor<double>& t, const Unconditional&) {
    Tensor<double> out(x.shape());
    const Time time = process.process_time(t[0]);
    for (std::int64_t i = 0; i < x.size(); ++i)
      out[i] = follow::exact(process, mixture, {x[i] / process.input_scale(time)}, time)[0];
    return out;
  };
  double worst = 0;
  Sampler<UniPc, Process>(
      {}, process)(net, noise, Unconditional{}, steps, {.end = end}, [&](int i, StepTimes, const auto& x) {
    const Point& state = states[static_cast<std::size_t>(i)];
    for (std::size_t j = 0; j < state.size(); ++j)
      worst = numbers::worse(worst, std::abs(x[static_cast<std::int64_t>(j)] - state[j]) / (1 + std::abs(state[j])));
  });
  return worst;
}

}  // namespace

static_assert(MemorySolver<UniPc> && DeterministicSolver<UniPc> && MemorySolver<UniPc, Edm>);

TEST_CASE("UniPC is its published algorithm, on every process and to either end") {
  for (const int n : {1, 2, 3, 5, 12, 40})
    for (const EndPoint end : {EndPoint::first_entry, EndPoint::clean}) {
      CAPTURE(n);
      CHECK(difference(StableDiffusion{}, n, end) < 1e-9);
      CHECK(difference(StableDiffusionV{}, n, end) < 1e-9);
      CHECK(difference(Edm{}, n, end) < 1e-9);
      CHECK(difference(Trig{}, n, EndPoint::clean) < 1e-9);
      if (n > 1) CHECK(difference(Flow{}, Steps({0.95, 0.7, 0.5, 0.21, 0.02}), EndPoint::clean) < 1e-9);
    }
  CHECK(difference(StableDiffusion{}, karras_grid(StableDiffusion{}, 9), EndPoint::clean) < 1e-9);
}

TEST_CASE("without its corrector UniPC is DPM-Solver++(2M)") {
  const StableDiffusion process;
  const StepTimes t{600, 400}, before{800, 600};
  const std::span<const StepTimes> one(&before, 1);
  const auto ours = UniPc{}.evaluations(process, t, one), theirs = DpmPp2M{}.evaluations(process, t, one);
  REQUIRE(ours.size() == 1);
  // The corrected sample is the third memory; in its place x gives the predictor.
  const Evaluation& e = ours[0];
  REQUIRE(e.remember.size() == 3);
  const double keep = process.sigma(400) / process.sigma(600);
  const StepCoefficients& corrected = e.remember[2];
  CHECK(e.update.x - keep * corrected.x + keep == doctest::Approx(theirs[0].update.x).epsilon(1e-12));
  CHECK(e.update.prediction - keep * corrected.prediction ==
        doctest::Approx(theirs[0].update.prediction).epsilon(1e-12));
  CHECK(e.update.memory[0] - keep * corrected.memory[0] == doctest::Approx(theirs[0].update.memory[0]).epsilon(1e-12));
}

TEST_CASE("UniPC stays finite from pure noise") {
  const Process<ZeroTerminalSnr<>, Velocity> process;
  std::vector<StepTimes> before;
  for (const StepTimes& t : {StepTimes{999, 700}, {700, 400}, {400, 100}, {100, -1, true}}) {
    for (const Evaluation& e : UniPc{}.evaluations(process, t, before)) {
      CHECK(std::isfinite(e.update.x + e.update.prediction + e.update.memory[0] + e.update.memory[1]));
      CHECK(std::isfinite(e.update.memory[2]));
    }
    before.push_back(t);
  }
}
