// SPDX-License-Identifier: Apache-2.0
// The coefficients of the solvers beyond DDIM and TCD, by identities and by numbers worked out in Python.
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/perflow.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>(), zero = noise_table<ZeroTerminalSnr<>>();

/// Relative to the size of the coefficients, which reach 15 from the noisiest level.
bool close(const StepCoefficients& a, const StepCoefficients& b, double tolerance = 1e-12) {
  double size = 1 + std::abs(b.x) + std::abs(b.prediction) + std::abs(b.noise);
  for (const double m : b.memory) size += std::abs(m);
  bool memories = true;
  for (std::size_t i = 0; i < kMemories; ++i)
    memories = memories && std::abs(a.memory[i] - b.memory[i]) <= tolerance * size;
  return std::abs(a.x - b.x) <= tolerance * size && std::abs(a.prediction - b.prediction) <= tolerance * size &&
         std::abs(a.noise - b.noise) <= tolerance * size && memories;
}

constexpr StepTimes jumps[] = {{999, 749}, {999, 0, true}, {500, 499}, {249, 0}, {24, -1, true}, {1, 0}};

/// Share of the data and of all noise in a step's result when the prediction is exact.
template <class P>
std::pair<double, double> marginal(const NoiseTable& levels, StepCoefficients c, Time from) {
  const Level l = levels.level(from);
  const Target w = P::target(l);
  return {c.x * l.alpha + c.prediction * w.x0, std::hypot(c.x * l.sigma + c.prediction * w.eps, c.noise)};
}

}  // namespace

static_assert(DeterministicSolver<Euler> && DeterministicSolver<Heun> && DeterministicSolver<DpmPp2M>);
static_assert(DeterministicSolver<PerFlow> && !DeterministicSolver<Ddim> && !DeterministicSolver<Lcm>);
static_assert(!DeterministicSolver<EulerAncestral>);
static_assert(AffineSolver<Euler> && !MemorySolver<Euler> && MemorySolver<Heun> && !AffineSolver<Heun>);

TEST_CASE_TEMPLATE("Euler is DDIM", P, Epsilon, Velocity, X0) {
  for (const StepTimes& t : jumps) {
    CAPTURE(t.from);
    CAPTURE(t.to);
    CHECK(close(Euler{}.step(Discrete<P>(table), t), Ddim{}.step(Discrete<P>(table), t)));
  }
  CHECK(Euler{}.step(Discrete<P>(table), {499, 499}).x == 1);
  CHECK(Euler{}.step(Discrete<P>(table), {499, 499}).prediction == 0);
}

TEST_CASE_TEMPLATE("ancestral Euler is DDIM of the same eta", P, Epsilon, Velocity, X0) {
  for (const NoiseTable& levels : {table, noise_table<Linear>()})
    for (const double eta : {0.0, 0.3, 1.0})
      for (const StepTimes& t : jumps) {
        CAPTURE(eta);
        CAPTURE(t.from);
        CAPTURE(t.to);
        CHECK(
            close(EulerAncestral{{eta}}.step(Discrete<P>(levels), t), Ddim{{eta}}.step(Discrete<P>(levels), t), 1e-9));
      }
}

TEST_CASE("LCM has its known numbers") {
  const auto skip = [](int t) { return Lcm{}.denoised(Discrete<X0>(table), t).x; };
  const auto out = [](int t) { return Lcm{}.denoised(Discrete<X0>(table), t).prediction; };
  CHECK(skip(0) == 1);
  CHECK(out(0) == 0);
  CHECK(std::abs(skip(1) - 0.0024937656) < 1e-10);
  CHECK(std::abs(out(1) - 0.9987523389) < 1e-10);
  CHECK(std::abs(skip(19) - 6.92516e-6) < 1e-11);
  CHECK(std::abs(out(19) - 0.9999965374) < 1e-10);
  CHECK(std::abs(skip(999) - 2.505e-9) < 1e-12);
  CHECK(std::abs(out(999) - 0.99999999875) < 1e-11);
}

TEST_CASE("Heun remembers half a slope and DPM-Solver++ its data prediction") {
  const auto heun = Heun{}.evaluations(Discrete<>(table), {999, 499}, {});
  REQUIRE(heun.size() == 2);
  CHECK(heun[0].time == 999);
  CHECK(heun[1].time == 499);
  CHECK(close(heun[0].update, Ddim{}.step(Discrete<>(table), {999, 499})));
  REQUIRE(heun[0].remember.size() == 1);
  CHECK(heun[1].update.memory[0] == 1);
  CHECK(heun[1].update.prediction == doctest::Approx(heun[0].update.prediction / 2).epsilon(1e-12));
  CHECK(Heun{}.evaluations(Discrete<>(table), {24, -1, true}, {}).size() == 1);
  CHECK(Heun{}.evaluations(Discrete<Velocity>(zero), {999, 499}, {}).size() == 1);

  const StepTimes before{999, 499};
  const std::span<const StepTimes> one(&before, 1);
  const auto first = DpmPp2M{}.evaluations(Discrete<Velocity>(table), before, {});
  REQUIRE(first.size() == 1);
  CHECK(close(first[0].update, Ddim{}.step(Discrete<Velocity>(table), before)));
  REQUIRE(first[0].remember.size() == 1);
  CHECK(first[0].remember[0].x == table.alpha(999));
  CHECK(first[0].remember[0].prediction == -table.sigma(999));
  const auto second = DpmPp2M{}.evaluations(Discrete<Velocity>(table), {499, 249}, one);
  CHECK(second[0].update.memory[0] != 0);
  const auto last = DpmPp2M{}.evaluations(Discrete<Velocity>(table), {249, 0, true}, one);
  CHECK(close(last[0].update, Ddim{}.step(Discrete<Velocity>(table), {249, 0})));
  CHECK(last[0].remember.empty());
}

TEST_CASE_TEMPLATE("LCM and ancestral Euler end on the marginal of their end time", P, Epsilon, Velocity, X0) {
  for (const auto& pair : {std::pair<Time, Time>{999, 749}, {999, 998}, {749, 124}, {500, 499}, {249, 0}}) {
    const Time t = pair.first, s = pair.second;
    CAPTURE(t);
    CAPTURE(s);
    for (const double eta : {0.0, 0.4, 1.0}) {
      const auto [signal, deviation] = marginal<P>(table, EulerAncestral{{eta}}.step(Discrete<P>(table), {t, s}), t);
      CHECK(std::abs(signal - table.alpha(s)) < 1e-12);
      CHECK(std::abs(deviation - table.sigma(s)) < 1e-12);
    }
    // c_skip leaves a trace of x_t.
    const auto [signal, deviation] = marginal<P>(table, Lcm{}.step(Discrete<P>(table), {t, s}), t);
    CHECK(std::abs(signal - table.alpha(s)) < 1e-7);
    CHECK(std::abs(deviation - table.sigma(s)) < 1e-7);
    const auto [clean, none] = marginal<P>(table, Lcm{}.step(Discrete<P>(table), {t, s, true}), t);
    CHECK(std::abs(clean - 1) < 1e-7);
    CHECK(none < 1e-7);
  }
  // With a boundary that is felt: the denoised is c_out x0 + c_skip x_t.
  const auto [signal, deviation] = marginal<P>(table, Lcm{{0.01, 0.5}}.step(Discrete<P>(table), {50, 0, true}), 50);
  CHECK(signal == doctest::Approx(std::sqrt(0.5) + 0.5 * table.alpha(50)).epsilon(1e-12));
  CHECK(deviation == doctest::Approx(0.5 * table.sigma(50)).epsilon(1e-12));
}

TEST_CASE_TEMPLATE("LCM's last step returns the denoised wherever it ends, unchanged at time 0", P, Epsilon, X0) {
  const StepCoefficients c = Lcm{}.step(Discrete<P>(table), {249, 0, true}),
                         d = Lcm{}.step(Discrete<P>(table), {249, -1, true});
  CHECK(close(c, d, 0));
  CHECK(c.noise == 0);
  CHECK(close(Lcm{}.step(Discrete<P>(table), {0, 0, true}), {}, 0));
}

TEST_CASE("PeRFlow has its known numbers") {
  const PerFlow four;
  const StepCoefficients c = four.step(Discrete<>(table), {999, 749});
  CHECK(std::abs(c.x - 3.4857864241) < 1e-9);
  CHECK(std::abs(c.prediction + 2.5063791737) < 1e-9);
  const StepCoefficients last = four.step(Discrete<>(table), {249, 0, true});
  CHECK(std::abs(last.x - 1.2162543237) < 1e-9);
  CHECK(std::abs(last.prediction + 0.6637554655) < 1e-9);
  // Close to a window's end there is little left to go.
  const StepCoefficients near = four.step(Discrete<>(table), {750, 749});
  CHECK(std::abs(near.x - 1) < 0.02);
  CHECK(std::abs(near.prediction) < 0.02);
  // Two steps on a straight line are one: with the noise that holds it, the first does not change where it ends.
  const StepCoefficients half = four.step(Discrete<>(table), {999, 874}),
                         rest = four.step(Discrete<>(table), {874, 749});
  const double x = 0.7, eps = -0.4, middle = half.x * x + half.prediction * eps;
  CHECK(std::abs(rest.x * middle + rest.prediction * eps - (c.x * x + c.prediction * eps)) < 1e-12);
  CHECK(close(four.step(Discrete<>(table), {300, 300}), {}, 0));
}

TEST_CASE("PeRFlow from a window's own noise") {
  const PerFlow own{{4, PerFlowNoise::window}};
  const StepCoefficients c = own.step(Discrete<>(table), {999, 749});
  CHECK(std::abs(c.x - 3.4857864241) < 1e-9);
  CHECK(std::abs(c.prediction + 3.3392674338) < 1e-9);
  // It undoes what re-noises the window's end to its start.
  const Renoise up = Discrete<>(table).renoise(749, 999);
  CHECK(std::abs(c.x * up.x - 1) < 1e-12);
  CHECK(std::abs(c.x * up.noise + c.prediction) < 1e-12);
  const StepCoefficients half = own.step(Discrete<>(table), {999, 874}), rest = own.step(Discrete<>(table), {874, 749});
  CHECK(std::abs(rest.x * half.x - c.x) < 1e-12);
  CHECK(std::abs(rest.x * half.prediction + rest.prediction - c.prediction) < 1e-12);
  CHECK_THROWS_WITH_AS((void)own.step(Discrete<Velocity>(table), {999, 749}),
                       doctest::Contains("only a noise prediction"), OptionError);
  CHECK_THROWS_AS((void)own.step(Discrete<>(zero), {999, 749}), NumericError);
}

TEST_CASE("PeRFlow's windows hold their lower end's time below them, and steps stay inside") {
  const auto window = [](int windows, Time t) {
    const auto [start, end] = PerFlow{{windows}}.window(Discrete<>(table), t);
    return std::pair{static_cast<int>(start), static_cast<int>(end)};
  };
  CHECK(window(4, 999) == std::pair{999, 749});
  CHECK(window(4, 750) == std::pair{999, 749});
  CHECK(window(4, 749) == std::pair{749, 499});
  CHECK(window(4, 249) == std::pair{249, -1});
  CHECK(window(4, 0) == std::pair{249, -1});
  CHECK(window(1, 500) == std::pair{999, -1});
  CHECK(window(3, 666) == std::pair{666, 332});  // ends of the trailing grid
  CHECK(window(1000, 7) == std::pair{7, 6});
  CHECK_NOTHROW((void)PerFlow{}.step(Discrete<>(table), {900, 749}));
  CHECK_THROWS_WITH_AS((void)PerFlow{}.step(Discrete<>(table), {900, 748}),
                       doctest::Contains("from time 900 to 748 crosses the end of a window, time 749"), OptionError);
  CHECK_THROWS_AS((void)PerFlow{}.step(Discrete<>(table), {999, 0, true}), OptionError);
  CHECK_THROWS_WITH_AS((void)PerFlow{}.step(Discrete<>(table), {249, -1, true}), doctest::Contains("clean data"),
                       OptionError);
}

TEST_CASE("options out of range are named, in every step") {
  for (const StepTimes t : {StepTimes{999, 499}, {249, 0, true}}) {
    for (const int k : {0, -1, 1001})
      CHECK_THROWS_WITH_AS((void)PerFlow{{k}}.step(Discrete<X0>(table), t), doctest::Contains("perflow: windows = "),
                           OptionError);
    for (const double eta : {-0.01, 1.01, std::nan("")})
      CHECK_THROWS_WITH_AS((void)EulerAncestral{{eta}}.step(Discrete<X0>(table), t),
                           doctest::Contains("euler_ancestral: eta = "), OptionError);
    const double infinite = std::numeric_limits<double>::infinity();
    for (const double bad : {-1.0, std::nan(""), infinite}) {
      CHECK_THROWS_WITH_AS((void)(Lcm{{bad, 0.5}}.step(Discrete<X0>(table), t)),
                           doctest::Contains("lcm: timestep_scaling = "), OptionError);
      CHECK_THROWS_WITH_AS((void)(Lcm{{10, bad}}.step(Discrete<X0>(table), t)), doctest::Contains("lcm: sigma_data = "),
                           OptionError);
    }
    CHECK_THROWS_AS((void)(Lcm{{10, 0}}.step(Discrete<X0>(table), t)), OptionError);
  }
}

TEST_CASE("steps between times off the table are refused") {
  for (const StepTimes t : {StepTimes{1000, 0}, {999, -2}, {999, -2, true}}) {
    CHECK_THROWS_AS((void)Euler{}.step(Discrete<X0>(table), t), OptionError);
    CHECK_THROWS_AS((void)EulerAncestral{}.step(Discrete<X0>(table), t), OptionError);
    CHECK_THROWS_AS((void)Lcm{}.step(Discrete<X0>(table), t), OptionError);
    CHECK_THROWS_AS((void)PerFlow{{1}}.step(Discrete<X0>(table), t), OptionError);
    CHECK_THROWS_AS((void)Heun{}.evaluations(Discrete<X0>(table), t, {}), OptionError);
    CHECK_THROWS_AS((void)DpmPp2M{}.evaluations(Discrete<X0>(table), t, {}), OptionError);
  }
}

TEST_CASE("every step stays finite at zero terminal SNR and between neighbours") {
  const auto finite = [](const StepCoefficients& c) {
    return std::isfinite(c.x + c.prediction + c.noise + c.memory[0]);
  };
  for (const NoiseTable& levels : {zero, table})
    for (int t = 1; t < 1000; ++t)
      for (const int s : {t - 1, t / 2, 0, -1}) {
        const StepTimes times{Time(t), Time(s)}, before{Time(std::min(t + 3, 999)), Time(t)};
        const std::span<const StepTimes> known(&before, t < 999 ? 1 : 0);
        REQUIRE(finite(Euler{}.step(Discrete<Velocity>(levels), times)));
        REQUIRE(finite(EulerAncestral{}.step(Discrete<Velocity>(levels), times)));
        REQUIRE(finite(Lcm{}.step(Discrete<Velocity>(levels), times)));
        for (const Evaluation& e : Heun{}.evaluations(Discrete<Velocity>(levels), times, {})) REQUIRE(finite(e.update));
        for (const Evaluation& e : DpmPp2M{}.evaluations(Discrete<Velocity>(levels), times, known))
          REQUIRE(finite(e.update));
        if (s >= 0) REQUIRE(finite(PerFlow{{1}}.step(Discrete<Velocity>(levels), times)));
      }
}
