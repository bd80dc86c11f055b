// SPDX-License-Identifier: Apache-2.0
// The coefficients of DDIM and TCD steps, by identities and by numbers worked out in Python from the formulas.
#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();

/// Deviation of the step's result about alpha_to x0 when the noise is predicted exactly, and its error in x0.
template <class P>
std::pair<double, double> marginal(const NoiseTable& levels, StepCoefficients c, Time from) {
  const Level l = levels.level(from);
  const Target w = P::target(l);
  return {std::hypot(c.x * l.sigma + c.prediction * w.eps, c.noise), c.x * l.alpha + c.prediction * w.x0};
}

template <class S>
void refuses_eta() {
  for (const double eta : {-0.01, 1.01, std::nan("")}) {
    for (const StepTimes t : {StepTimes{999, 499}, {999, 0, true}, {999, -1, true}})
      CHECK_THROWS_WITH_AS((void)S{{eta}}.step(Discrete<>(table), t), doctest::Contains("eta = "), OptionError);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("steps of any eta end on the marginal of their end time", P, Epsilon, Velocity, X0) {
  for (const NoiseTable& levels : {noise_table<ScaledLinear>(), noise_table<Linear>()})
    for (const double eta : {0.0, 0.3, 0.8, 1.0})
      for (const auto& [t, s] : {std::pair<Time, Time>{999, 749}, {999, 998}, {749, 1}, {500, 499}, {1, 0}, {249, 0}}) {
        CAPTURE(eta);
        CAPTURE(t);
        CAPTURE(s);
        for (const StepCoefficients& c :
             {Ddim{{eta}}.step(Discrete<P>(levels), {t, s}), Tcd{{eta}}.step(Discrete<P>(levels), {t, s})}) {
          const auto [deviation, signal] = marginal<P>(levels, c, t);
          CHECK(deviation == doctest::Approx(levels.sigma(s)).epsilon(1e-10));
          CHECK(signal == doctest::Approx(levels.alpha(s)).epsilon(1e-10));
        }
      }
}

TEST_CASE("DDIM with eta 0 is the jump, bit for bit") {
  for (const auto& [t, s] : {std::pair<Time, Time>{999, 749}, {24, 0}, {24, -1}, {499, 499}}) {
    const StepCoefficients c = Ddim{}.step(Discrete<Velocity>(table), {t, s});
    const Form f = Discrete<Velocity>(table).jump(t, s);
    CHECK(c.x == f.x);
    CHECK(c.prediction == f.prediction);
    CHECK(c.noise == 0);
  }
}

TEST_CASE("DDIM with eta 1 draws from the posterior of Ho et al., Eq 7") {
  for (const auto& [t, s] : {std::pair<Time, Time>{999, 499}, {999, 998}, {500, 499}, {249, 0}}) {
    const double a = std::pow(table.alpha(t), 2), p = std::pow(table.alpha(s), 2), ratio = a / p;
    const StepCoefficients c = Ddim{{1}}.step(Discrete<X0>(table), {t, s});
    CHECK(c.x == doctest::Approx(std::sqrt(ratio) * (1 - p) / (1 - a)).epsilon(1e-9));
    CHECK(c.prediction == doctest::Approx(std::sqrt(p) * (1 - ratio) / (1 - a)).epsilon(1e-9));
    CHECK(c.noise * c.noise == doctest::Approx((1 - p) / (1 - a) * (1 - ratio)).epsilon(1e-9));
  }
  // Of 999 -> 499: the variance and what is left for the direction.
  const double v = Ddim{{1}}.variance(Discrete<>(table), 999, 499);
  CHECK(std::abs(v - 0.7135326932) < 1e-9);
  CHECK(std::abs(std::sqrt(std::pow(table.sigma(499), 2) - v) - 0.0937958228) < 1e-9);
  CHECK(Ddim{{0.5}}.variance(Discrete<>(table), 999, 499) == doctest::Approx(v / 4).epsilon(1e-14));
  CHECK(Ddim{{1}}.variance(Discrete<>(table), 499, -1) == 0);
  CHECK(Ddim{{1}}.variance(Discrete<>(table), 499, 499) == 0);
}

TEST_CASE("steps with eta 1 stay finite at zero terminal SNR and between neighbours") {
  const NoiseTable zero = noise_table<ZeroTerminalSnr<>>();
  for (const NoiseTable& levels : {zero, table})
    for (int t = 1; t < 1000; ++t)
      for (const int s : {t - 1, t / 2, 0, -1}) {
        const StepTimes times{Time(t), Time(s)};
        const StepCoefficients a = Ddim{{1}}.step(Discrete<Velocity>(levels), times),
                               b = Tcd{{1}}.step(Discrete<Velocity>(levels), times);
        REQUIRE(std::isfinite(a.x + a.prediction + a.noise));
        REQUIRE(std::isfinite(b.x + b.prediction + b.noise));
        const auto [deviation, signal] = marginal<Velocity>(levels, a, t);
        REQUIRE(std::abs(deviation - levels.sigma(s)) < 1e-9);
        REQUIRE(std::abs(signal - levels.alpha(s)) < 1e-9);
      }
  // From pure noise v has nothing but the data in it: x0 = -v.
  const StepCoefficients c = Ddim{}.step(Discrete<Velocity>(zero), {999, -1});
  CHECK(c.x == 0);
  CHECK(c.prediction == -1);
}

TEST_CASE("TCD has its known numbers") {
  const Tcd tcd{};
  CHECK(tcd.options.eta == 0.3);
  const auto lands = [&](Time p, Time s, double jumped, double renoised) {
    CHECK(tcd.landing(Discrete<>(table), p) == s);
    const Form f = Discrete<>(table).jump(999, s);
    CHECK(std::abs(f.x + 0.5 * f.prediction - jumped) < 1e-9);
    const StepCoefficients c = tcd.step(Discrete<>(table), {999, p});
    CHECK(std::abs(c.x + 0.5 * c.prediction - renoised) < 1e-9);
  };
  lands(759, 531, 4.0078384020, 1.8827690515);
  lands(749, 524, 4.0702473954, 1.9556670695);
  CHECK(std::abs(tcd.step(Discrete<>(table), {999, 759}).noise - 0.8827879427) < 1e-9);
  CHECK(tcd.landing(Discrete<>(table), 499) == 349);
  CHECK(tcd.landing(Discrete<>(table), 249) == 174);
  CHECK(tcd.landing(Discrete<>(table), 259) == 181);
}

TEST_CASE("TCD with eta 0 is DDIM, its last step is for any eta") {
  for (const auto& [t, s] : {std::pair<Time, Time>{999, 749}, {749, 10}, {10, 0}}) {
    const StepCoefficients a = Tcd{{0}}.step(Discrete<>(table), {t, s}), b = Ddim{}.step(Discrete<>(table), {t, s});
    CHECK(a.x == b.x);
    CHECK(a.prediction == b.prediction);
    CHECK(a.noise == 0);
  }
  for (const double eta : {0.0, 0.3, 1.0})
    for (const Time end : {0, 24, -1}) {
      const StepCoefficients a = Tcd{{eta}}.step(Discrete<X0>(table), {249, end, true}),
                             b = Ddim{}.step(Discrete<X0>(table), {249, end});
      CHECK(a.x == b.x);
      CHECK(a.prediction == b.prediction);
      CHECK(a.noise == 0);
    }
}

TEST_CASE("TCD with eta 1 jumps to time 0 and re-noises everything") {
  for (const int p : {1, 249, 759}) {
    const StepTimes jump{999, static_cast<Time>(p)};
    CHECK(Tcd{{1}}.landing(Discrete<>(table), p) == 0);
    const double fresh = 1 - table.alphas_cumprod(p) / table.alphas_cumprod(0);
    CHECK(std::pow(Tcd{{1}}.step(Discrete<X0>(table), jump).noise, 2) == doctest::Approx(fresh).epsilon(1e-10));
  }
}

TEST_CASE("landings are those of float32 arithmetic") {
  int parted = 0;
  for (int tenth = 0; tenth <= 10; ++tenth)
    for (int p = 0; p < 1000; ++p) {
      const double eta = tenth / 10.0;
      const Time s = Tcd{{eta}}.landing(Discrete<>(table), p);
      REQUIRE(s >= 0);
      REQUIRE(s <= p);
      parted += s != std::floor((1 - eta) * p) ? 1 : 0;
      // The real product is within a rounding of the landing's interval.
      REQUIRE(std::abs((10 - tenth) * p / 10.0 - s - 0.5) <= 0.5 + 1e-3);
    }
  CHECK(parted == 314);  // of 11000, counted in Python
  CHECK(Tcd{{0.8}}.landing(Discrete<>(table), 10) == 2);
  CHECK(static_cast<int>(std::floor((1 - 0.8) * 10)) == 1);
}

TEST_CASE("eta outside [0, 1] is named, in every step") {
  refuses_eta<Ddim>();
  refuses_eta<Tcd>();
  CHECK_THROWS_WITH_AS((void)Tcd{{1.5}}.landing(Discrete<>(table), 3),
                       doctest::Contains("tcd: eta = 1.5 is not in [0, 1]"), OptionError);
  CHECK_THROWS_WITH_AS((void)Ddim{{-1}}.variance(Discrete<>(table), 3, 1), doctest::Contains("ddim: eta = -1"),
                       OptionError);
  CHECK_NOTHROW((void)Tcd{{1}}.landing(Discrete<>(table), 3));
}

TEST_CASE("steps between times off the table are refused") {
  CHECK_THROWS_AS((void)Ddim{}.step(Discrete<>(table), {1000, 0}), OptionError);
  CHECK_THROWS_AS((void)Ddim{{1}}.step(Discrete<>(table), {999, -2}), OptionError);
  CHECK_THROWS_AS((void)Tcd{}.step(Discrete<>(table), {1000, 0, true}), OptionError);
  CHECK_THROWS_AS((void)Tcd{}.step(Discrete<>(table), {999, 1000}), OptionError);
}

TEST_CASE_TEMPLATE("a step applied to a batch is its formula, each sample with its own", T, float, double) {
  const double tolerance = sizeof(T) == 4 ? 2e-6 : 1e-14;
  const auto x = numbers::normal<T>(Shape{3, 5}, "x"), f = numbers::normal<T>(x.shape(), "f");
  const Stream s = stream(7, "z");
  const auto z = ops::normal<T>(x.shape(), s, 40);
  const std::vector<StepCoefficients> c{{0.5, -2, 0.25}, {1, 0, 0}, {-1, 3, 1}};
  Tensor<T> expected(x.shape());
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const StepCoefficients& k = c[static_cast<std::size_t>(i / 5)];
    expected[i] = static_cast<T>(k.x * static_cast<double>(x[i]) + k.prediction * static_cast<double>(f[i]) +
                                 k.noise * static_cast<double>(z[i]));
  }
  const Tensor<T> out(x.shape());
  apply_step_into(out, c, x, f, s, 40);
  CHECK(numbers::distance(out, expected) < tolerance);
  // In place.
  const auto own = x.clone();
  apply_step_into(own, c, own, f, s, 40);
  CHECK(own.to_vector() == out.to_vector());
  // The second sample's step changes nothing.
  CHECK(out.slice(1, 2).to_vector() == x.slice(1, 2).to_vector());
  CHECK_THROWS_AS(apply_step_into(out, {c[0]}, x, f, s), ShapeError);
  CHECK_THROWS_AS(apply_step_into(out, c, x, f.slice(0, 2), s), ShapeError);
}
