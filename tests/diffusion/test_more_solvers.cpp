// SPDX-License-Identifier: Apache-2.0
// The coefficients of the solvers beyond DDIM and TCD, by identities and by numbers worked out in Python.
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/perflow.hpp>
#include <hypersd/diffusion/zero_terminal_snr.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>(), zero = noise_table<ZeroTerminalSnr<>>();

/// Relative to the size of the coefficients, which reach 15 from the noisiest level.
bool close(const StepCoefficients& a, const StepCoefficients& b, double tolerance = 1e-12) {
  const double size = 1 + std::abs(b.x) + std::abs(b.prediction) + std::abs(b.noise) + std::abs(b.memory);
  return std::abs(a.x - b.x) <= tolerance * size && std::abs(a.prediction - b.prediction) <= tolerance * size &&
         std::abs(a.noise - b.noise) <= tolerance * size && std::abs(a.memory - b.memory) <= tolerance * size;
}

constexpr StepTimes jumps[] = {{999, 749}, {999, 0, true}, {500, 499}, {249, 0}, {24, kOrigin, true}, {1, 0}};

}  // namespace

static_assert(DeterministicSolver<Euler> && DeterministicSolver<Heun> && DeterministicSolver<DpmPp2M>);
static_assert(DeterministicSolver<PerFlow> && !DeterministicSolver<Ddim> && !DeterministicSolver<Lcm>);
static_assert(!DeterministicSolver<EulerAncestral>);
static_assert(AffineSolver<Euler> && !MemorySolver<Euler> && MemorySolver<Heun> && !AffineSolver<Heun>);

TEST_CASE_TEMPLATE("Euler is DDIM", P, Epsilon, Velocity, X0) {
  for (const StepTimes& t : jumps) {
    CAPTURE(t.from);
    CAPTURE(t.to);
    CHECK(close(Euler{}.step<P>(table, t), Ddim{}.step<P>(table, t)));
  }
  CHECK(Euler{}.step<P>(table, {499, 499}).x == 1);
  CHECK(Euler{}.step<P>(table, {499, 499}).prediction == 0);
}

TEST_CASE_TEMPLATE("ancestral Euler is DDIM of the same eta", P, Epsilon, Velocity, X0) {
  for (const NoiseTable& levels : {table, noise_table<Linear>()})
    for (const double eta : {0.0, 0.3, 1.0})
      for (const StepTimes& t : jumps) {
        CAPTURE(eta);
        CAPTURE(t.from);
        CAPTURE(t.to);
        CHECK(close(EulerAncestral{{eta}}.step<P>(levels, t), Ddim{{eta}}.step<P>(levels, t), 1e-9));
      }
}

TEST_CASE("LCM has its known numbers") {
  const auto skip = [](int t) { return Lcm{}.denoised<X0>(table, t).x; };
  const auto out = [](int t) { return Lcm{}.denoised<X0>(table, t).prediction; };
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
  const auto heun = Heun{}.evaluations<Epsilon>(table, {999, 499}, nullptr);
  REQUIRE(heun.size() == 2);
  CHECK(heun[0].time == 999);
  CHECK(heun[1].time == 499);
  CHECK(close(heun[0].update, Ddim{}.step<Epsilon>(table, {999, 499})));
  REQUIRE(heun[0].remember);
  CHECK(heun[1].update.memory == 1);
  CHECK(heun[1].update.prediction == doctest::Approx(heun[0].update.prediction / 2).epsilon(1e-12));
  CHECK(Heun{}.evaluations<Epsilon>(table, {24, kOrigin, true}, nullptr).size() == 1);
  CHECK(Heun{}.evaluations<Velocity>(zero, {999, 499}, nullptr).size() == 1);

  const StepTimes before{999, 499};
  const auto first = DpmPp2M{}.evaluations<Velocity>(table, before, nullptr);
  REQUIRE(first.size() == 1);
  CHECK(close(first[0].update, Ddim{}.step<Velocity>(table, before)));
  REQUIRE(first[0].remember);
  CHECK(first[0].remember->x == table.alpha(999));
  CHECK(first[0].remember->prediction == -table.sigma(999));
  const auto second = DpmPp2M{}.evaluations<Velocity>(table, {499, 249}, &before);
  CHECK(second[0].update.memory != 0);
  const auto last = DpmPp2M{}.evaluations<Velocity>(table, {249, 0, true}, &before);
  CHECK(close(last[0].update, Ddim{}.step<Velocity>(table, {249, 0})));
  CHECK(!last[0].remember);
}
