// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <hypersd/core/math.hpp>
#include <hypersd/core/philox.hpp>
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/sde.hpp>

#include <cmath>
#include <vector>

using namespace hypersd;
using namespace hypersd::diffusion;

TEST_CASE("beta of the continuous process integrates to the table") {
  const VpSde sde(noise_table<ScaledLinear>());
  double integral = 0;
  for (int t = 0; t < 1000; ++t) {
    integral += sde.beta(t);  // the value of the interval that ends at t
    CHECK(sde.beta(t - 0.5) == sde.beta(t));
  }
  CHECK(std::exp(-integral) == doctest::Approx(0.0046600985).epsilon(1e-8));  // published alphas_cumprod[999]
  // To first order beta(t) is the discrete beta: 1 - alpha^2 ratio.
  CHECK(sde.beta(0) == doctest::Approx(-std::log1p(-0.00085)).epsilon(1e-12));
  CHECK(sde.diffusion(500) == doctest::Approx(std::sqrt(sde.beta(500))));
  CHECK(sde.drift(2, 500) == doctest::Approx(-sde.beta(500)));
}

TEST_CASE("levels between integer times keep the variance and meet the table at its times") {
  const NoiseTable table = noise_table<Linear>();
  const VpSde sde(table);
  for (const double t : {-1.0, -0.25, 0.0, 0.5, 17.0, 640.125, 998.75, 999.0}) {
    const Level l = sde.level(t);
    CHECK(l.alpha * l.alpha + l.sigma * l.sigma == doctest::Approx(1).epsilon(1e-14));
    if (t == std::floor(t)) {
      CHECK(l.alpha == table.alpha(static_cast<int>(t)));
      CHECK(l.sigma == table.sigma(static_cast<int>(t)));
    }
  }
  CHECK(sde.level(-1).sigma == 0);
  CHECK(sde.level(640.25).sigma > sde.level(640).sigma);
  CHECK(sde.level(640.25).sigma < sde.level(641).sigma);
}

TEST_CASE("the forward equation, simulated from a point, arrives at the closed form's mean and variance") {
  const NoiseTable table = noise_table<ScaledLinear>();
  const VpSde sde(table);
  constexpr int paths = 20000, last = 299;
  const double start = 2;
  double mean = 0, square = 0;
  for (int p = 0; p < paths; ++p) {
    double x = start;
    const Stream s = stream(5, "path", static_cast<std::uint64_t>(p));
    for (int t = 0; t <= last; ++t)  // Euler-Maruyama with one step an interval
      x += sde.drift(x, t) + sde.diffusion(t) * static_cast<double>(normal_at(s, static_cast<std::uint64_t>(t)));
    mean += x / paths;
    square += x * x / paths;
  }
  const double variance = square - mean * mean, sigma = table.sigma(last);
  // Four standard errors, and the method's own bias of order beta.
  CHECK(std::abs(mean - start * table.alpha(last)) < 4 * sigma / std::sqrt(paths) + 0.01);
  CHECK(std::abs(variance / (sigma * sigma) - 1) < 4 * std::sqrt(2.0 / paths) + 0.01);
}

TEST_CASE("the flow of Gaussian data is the known scaling, to fourth order") {
  // For N(0, c^2): x_s = x_t sqrt(S_s / S_t), S = alpha^2 c^2 + sigma^2.
  const NoiseTable table = noise_table<ScaledLinear>();
  const VpSde sde(table);
  for (const double c : {0.5, 1.0, 2.0}) {
    auto variance = [&](Level l) { return l.alpha * l.alpha * c * c + l.sigma * l.sigma; };
    auto score = [&](const std::vector<double>& x, Level l, std::vector<double>& out) {
      for (std::size_t j = 0; j < x.size(); ++j) out[j] = -x[j] / variance(l);
    };
    const auto end = integrate_flow(sde, score, std::vector<double>{1.0, -3.0}, 999, 0);
    const double exact = std::sqrt(variance(table.level(0)) / variance(table.level(999)));
    CHECK(std::abs(end[0] - exact) < 1e-9);
    CHECK(std::abs(end[1] + 3 * exact) < 3e-9);
    // dx/dt of Eq 17 agrees with the exact map's derivative.
    const double t = 500, h = 1e-4;
    auto map = [&](double to) { return std::sqrt(variance(sde.level(to)) / variance(sde.level(t))); };
    const double numeric = (map(t) - map(t - h)) / h;
    CHECK(sde.flow(1, -1 / variance(sde.level(t)), t) == doctest::Approx(numeric).epsilon(1e-4));
  }
}

TEST_CASE("a noise prediction is a score, except where there is no noise") {
  const NoiseTable table = noise_table<ScaledLinear>();
  CHECK(VpSde::score(0.5, table.level(499)) == doctest::Approx(-0.5 / 0.84990020).epsilon(1e-7));
  CHECK_THROWS_AS(VpSde::score(0.5, table.level(-1)), NumericError);
}

TEST_CASE("times off the process and infinite rates are refused") {
  const VpSde sde(noise_table<ScaledLinear>());
  CHECK_THROWS_WITH_AS((void)sde.beta(999.5), doctest::Contains("999.5"), OptionError);
  CHECK_THROWS_AS((void)sde.level(-1.5), OptionError);
  const auto none = [](const std::vector<double>&, Level, std::vector<double>&) {};
  CHECK_THROWS_AS(integrate_flow(sde, none, std::vector<double>{1}, 3, 4), OptionError);
  CHECK_THROWS_AS(integrate_flow(sde, none, std::vector<double>{1}, 4, 3, 0), OptionError);
  const VpSde zero(noise_table<ZeroTerminalSnr<>>());
  CHECK_THROWS_AS((void)zero.beta(999), NumericError);
  CHECK(zero.beta(998) > 0);
}
