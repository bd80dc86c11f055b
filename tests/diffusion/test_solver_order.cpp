// SPDX-License-Identifier: Apache-2.0
// How fast the solvers' errors fall, against closed forms and the flow of an exact Gaussian mixture.
#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/sde.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/perflow.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();
const Mixture mixture({{1, {-1, 0.5}, 0.4}, {2, {1, 0}, 0.5}, {1, {0, -1.5}, 0.6}});
constexpr std::int64_t samples = 16;
const auto noise = numbers::normal<double>(Shape{samples, 2}, "order");

/// Where the flow takes the noise from time 999 to time `to`.
Tensor<double> flow(int to) {
  const VpSde sde(table);
  Tensor<double> out(noise.shape());
  for (std::int64_t b = 0; b < samples; ++b) {
    const auto score = [&](const auto& x, Level l, auto& slope) { mixture.score(x, l, slope); };
    const auto end = integrate_flow(sde, score, std::vector<double>{noise[2 * b], noise[2 * b + 1]}, 999, to);
    out[2 * b] = end[0];
    out[2 * b + 1] = end[1];
  }
  return out;
}

/// Largest error at time 199 of n equal steps from 999; a further step, which is of first order for some, goes on to 0.
template <class S, class P = Epsilon>
double error_at_199(int n) {
  static const Tensor<double> exact = flow(199);
  Times times;
  for (int i = 0; i <= n; ++i) times.push_back(999 - 800 * i / n);
  double error = -1;
  Sampler<S, Process<ScaledLinear, P>>()(AnalyticDenoiser<Discrete<P>>(table, mixture), noise, Unconditional{}, times,
                                         {}, [&](int i, StepTimes, const auto& x) {
                                           if (i + 1 == n) error = numbers::distance(x, exact);
                                         });
  return error;
}

template <class S>
double order(int n) {
  return std::log2(error_at_199<S>(n) / error_at_199<S>(2 * n));
}

/// Noise levels sigma / alpha of Karras et al., Eq 5, from 0.002 to 80 with rho = 7, and 0.001 below them.
struct Karras {
  struct Options {
    int intervals = 10;
  };
  static constexpr const char* name = "karras";
  static constexpr bool zero_terminal_snr = false;
  Options options{};
  [[nodiscard]] std::vector<double> alphas_cumprod() const {
    std::vector<double> out{1 / (1 + 1e-6)};
    for (int i = options.intervals; i >= 0; --i) {
      const double low = std::pow(0.002, 1.0 / 7), high = std::pow(80, 1.0 / 7);
      const double level = std::pow(high + i * (low - high) / options.intervals, 7);
      out.push_back(1 / (1 + level * level));
    }
    return out;
  }
};

/// Error on data N(0, 0.5^2) from level 80 to 0.002, in the coordinates x / alpha and from 80 there. The step to 0.001
/// follows, so that none of those measured is the last.
template <class S>
double karras_error(int n) {
  const Sampler<S, Process<Karras, Epsilon>> sampler({}, Karras{{n}});
  const NoiseTable& levels = sampler.process().schedule();
  Times times;
  for (int t = n + 1; t >= 1; --t) times.push_back(t);
  const AnalyticDenoiser<> net(levels, Mixture({{1, {0}, 0.5}}));
  const auto start = Tensor<double>::full(Shape{1, 1}, 80 * levels.alpha(n + 1));
  double error = -1;
  sampler(net, start, Unconditional{}, times, {}, [&](int, StepTimes t, const auto& x) {
    if (t.to == 1) error = std::abs(x.item() / levels.alpha(1) - 0.4999942346);
  });
  return error;
}

}  // namespace

TEST_CASE("errors on the levels of Karras et al. are the known ones") {
  const double euler[] = {0.12361, 0.066219, 0.034289, 0.017449}, heun[] = {0.087308, 0.019598, 0.0046428, 0.0011299};
  const double multistep[] = {0.073027, 0.022055, 0.0049341, 0.0011633};
  const auto equal = [](double a, double b) { return std::abs(a / b - 1) < 1e-4; };  // five digits are known
  for (int i = 0; i < 4; ++i) {
    const int n = 10 << i;
    CAPTURE(n);
    CHECK(equal(karras_error<Euler>(n), euler[i]));
    CHECK(equal(karras_error<Ddim>(n), euler[i]));
    CHECK(equal(karras_error<Heun>(n), heun[i]));
    CHECK(equal(karras_error<DpmPp2M>(n), multistep[i]));
  }
}

TEST_CASE("on a mixture Euler and DDIM converge at first order, Heun and DPM-Solver++(2M) at second") {
  for (const int n : {40, 80, 160}) {
    CAPTURE(n);
    CHECK(std::abs(order<Euler>(n) - 1) < 0.1);
    CHECK(std::abs(order<Ddim>(n) - 1) < 0.1);
    CHECK(std::abs(order<Heun>(n) - 2) < 0.2);
    CHECK(std::abs(order<DpmPp2M>(n) - 2) < 0.2);
  }
  CHECK(error_at_199<Heun>(80) < error_at_199<Euler>(160) / 3);  // for the same number of evaluations
  CHECK(error_at_199<DpmPp2M>(40) < error_at_199<Euler>(40) / 3);
}

TEST_CASE("the errors do not depend on the prediction type") {
  for (const int n : {20, 40}) {
    CHECK(std::abs(error_at_199<Heun, Velocity>(n) - error_at_199<Heun>(n)) < 1e-11);
    CHECK(std::abs(error_at_199<Heun, X0>(n) - error_at_199<Heun>(n)) < 1e-11);
    CHECK(std::abs(error_at_199<DpmPp2M, Velocity>(n) - error_at_199<DpmPp2M>(n)) < 1e-11);
    CHECK(std::abs(error_at_199<DpmPp2M, X0>(n) - error_at_199<DpmPp2M>(n)) < 1e-11);
  }
}

TEST_CASE("Euler draws what DDIM draws") {
  const AnalyticDenoiser<> net(table, mixture);
  for (const Steps& steps : {Steps(1), Steps(4), Steps(50), Steps({800}), Steps({980, 700, 333, 10})})
    for (const EndPoint end : {EndPoint::first_entry, EndPoint::clean}) {
      const auto a = Sampler<Euler, StableDiffusion>()(net, noise, Unconditional{}, steps, {.end = end});
      const auto b = Sampler<Ddim, StableDiffusion>()(net, noise, Unconditional{}, steps, {.end = end});
      CHECK(numbers::distance(a, b) < 1e-12);
    }
}

TEST_CASE("PeRFlow with a window a step is DDIM, and its error falls with their number") {
  const AnalyticDenoiser<> net(table, mixture);
  const auto exact = flow(0);
  double before = 10;
  for (const int n : {2, 4, 8, 20, 40, 100}) {
    CAPTURE(n);
    const auto x = Sampler<PerFlow, StableDiffusion>({n})(net, noise, Unconditional{}, n);
    CHECK(numbers::distance(x, Sampler<Ddim, StableDiffusion>()(net, noise, Unconditional{}, n)) < 1e-12);
    const double error = numbers::distance(x, exact);
    CHECK(error < before);
    before = error;
  }
  CHECK(before < 0.05);
}
