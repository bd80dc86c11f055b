// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/prediction.hpp>

#include <hypersd/diffusion/process.hpp>
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();

double at(Form f, double x, double prediction) { return f.x * x + f.prediction * prediction; }
bool near(double a, double b, double tolerance = 1e-12) { return std::abs(a - b) <= tolerance; }

/// f(P{}) for each prediction type.
template <class F>
void each(F&& f) {
  f(Epsilon{});
  f(Velocity{});
  f(X0{});
}

/// A prediction type that the library does not know: the score -eps / sigma.
struct Score {
  static constexpr const char* name = "score";
  static constexpr bool needs_signal = true, needs_unit_variance = false;
  static Form x0(Level l) { return {1 / l.alpha, l.sigma * l.sigma / l.alpha}; }
  static Form eps(Level l) { return {0, -l.sigma}; }
  static Target target(Level l) { return {0, -1 / l.sigma}; }
  friend bool operator==(const Score&, const Score&) = default;
};
static_assert(Prediction<Score> && !Prediction<int>);

static_assert(Epsilon::needs_signal && Score::needs_signal && !Velocity::needs_signal && !X0::needs_signal);
// Those of zero terminal SNR with a prediction that needs a signal do not compile: tests/compile_fail.
static_assert(sizeof(Process<ZeroTerminalSnr<>, Velocity>) > 0 && sizeof(Process<ZeroTerminalSnr<Linear>, X0>) > 0);
static_assert(sizeof(Process<ScaledLinear, Epsilon>) > 0 && sizeof(Process<ScaledLinear, Score>) > 0);

}  // namespace

TEST_CASE("the target of data and noise gives both back, at every time") {
  const double x0 = 0.3, eps = -0.8;
  for (int t = 0; t < table.size(); ++t) {
    const Level l = table.level(t);
    const double x = l.alpha * x0 + l.sigma * eps;
    each([&](auto p) {
      using P = decltype(p);
      CAPTURE(t);
      CAPTURE(P::name);
      const Target w = P::target(l);
      const double f = w.x0 * x0 + w.eps * eps;
      REQUIRE(near(at(P::x0(l), x, f), x0));
      REQUIRE(near(at(P::eps(l), x, f), eps));
    });
  }
}

TEST_CASE("the middle of the schedule has its known numbers") {
  const Level l = table.level(499);
  const double x0 = 0.3, eps = -0.8, x = l.alpha * x0 + l.sigma * eps, v = -0.6765250104;
  CHECK(near(x, -0.5218370534, 1e-10));
  CHECK(near(Velocity::target(l).x0 * x0 + Velocity::target(l).eps * eps, v, 1e-10));
  CHECK(near(at(Velocity::x0(l), x, v), x0, 1e-10));
  CHECK(near(at(Velocity::eps(l), x, v), eps, 1e-10));
  CHECK(near(at(Epsilon::x0(table.level(999)), 1, 0.5), 7.3414929299, 1e-9));
}

TEST_CASE("every conversion is the textbook formula and its round trip is the identity") {
  for (int t = 0; t < table.size(); t += 37) {
    CAPTURE(t);
    const Level l = table.level(t);
    const double x = 0.7, f = -1.3, a = l.alpha, s = l.sigma;
    CHECK(near(at(convert_form(Epsilon{}, X0{}, l), x, f), (x - s * f) / a));
    CHECK(near(at(convert_form(Epsilon{}, Velocity{}, l), x, f), (f - s * x) / a));
    CHECK(near(at(convert_form(X0{}, Epsilon{}, l), x, f), (x - a * f) / s));
    CHECK(near(at(convert_form(X0{}, Velocity{}, l), x, f), (a * x - f) / s));
    CHECK(near(at(convert_form(Velocity{}, X0{}, l), x, f), a * x - s * f));
    CHECK(near(at(convert_form(Velocity{}, Epsilon{}, l), x, f), s * x + a * f));
    each([&](auto from) {
      each([&](auto to) {
        using From = decltype(from);
        using To = decltype(to);
        const double there = at(convert_form(From{}, To{}, l), x, f);
        CHECK(near(at(convert_form(To{}, From{}, l), x, there), f));
        if constexpr (std::same_as<From, To>) CHECK(there == f);
      });
    });
  }
}

TEST_CASE("an error of the prediction grows by the roots of SNR and SNR + 1") {
  for (const int t : {0, 24, 399, 800, 999}) {
    const Level l = table.level(t);
    const double snr = table.snr(t);
    CHECK(std::pow(convert_form(X0{}, Epsilon{}, l).prediction, 2) == doctest::Approx(snr).epsilon(1e-10));
    CHECK(std::pow(convert_form(X0{}, Velocity{}, l).prediction, 2) == doctest::Approx(snr + 1).epsilon(1e-10));
  }
  // sigma / alpha, the gain of a noise prediction's error.
  CHECK(-Epsilon::x0(table.level(999)).prediction == doctest::Approx(14.614641).epsilon(1e-7));
  CHECK(-Epsilon::x0(table.level(800)).prediction == doctest::Approx(5.111028).epsilon(1e-6));
  CHECK(-Epsilon::x0(table.level(399)).prediction == doctest::Approx(1.160578).epsilon(1e-6));
}

TEST_CASE("a jump with any prediction type lands on the same point") {
  const double x0 = 0.3, eps = -0.8;
  for (const auto& [t, s] : {std::pair{999, 874}, {999, 499}, {499, 0}, {24, 0}, {24, -1}, {0, 700}}) {
    const Level from = table.level(t), to = table.level(s);
    const double x = from.alpha * x0 + from.sigma * eps, expected = to.alpha * x0 + to.sigma * eps;
    each([&](auto p) {
      using P = decltype(p);
      const Target w = P::target(from);
      CHECK(near(at(jump_form(P{}, from, to), x, w.x0 * x0 + w.eps * eps), expected));
    });
  }
}

TEST_CASE("a prediction type of one's own converts and jumps like the others") {
  const Level l = table.level(499), to = table.level(249);
  const double x = 0.7, eps = -1.3, score = -eps / l.sigma;
  CHECK(near(at(convert_form(Score{}, Epsilon{}, l), x, score), eps));
  CHECK(near(at(convert_form(Epsilon{}, Score{}, l), x, eps), score));
  CHECK(near(at(convert_form(Score{}, Velocity{}, l), x, score), at(convert_form(Epsilon{}, Velocity{}, l), x, eps)));
  CHECK(near(at(jump_form(Score{}, l, to), x, score), at(jump_form(Epsilon{}, l, to), x, eps)));
}

TEST_CASE("at zero SNR a noise prediction gives no data, the others do") {
  const Level end = noise_table<ZeroTerminalSnr<>>().level(999);
  CHECK_THROWS_WITH_AS(Epsilon::x0(end), doctest::Contains("zero terminal SNR"), NumericError);
  CHECK_THROWS_AS((convert_form(Epsilon{}, X0{}, end)), NumericError);
  CHECK_THROWS_AS((convert_form(Epsilon{}, Velocity{}, end)), NumericError);
  CHECK_THROWS_AS(jump_form(Epsilon{}, end, table.level(0)), NumericError);
  const double x = 0.7, f = -1.3;
  CHECK(at(convert_form(Epsilon{}, Epsilon{}, end), x, f) == f);
  CHECK(at(Velocity::x0(end), x, f) == -f);
  CHECK(at(Velocity::eps(end), x, f) == x);
  CHECK(at(X0::x0(end), x, f) == f);
  CHECK(at(X0::eps(end), x, f) == x);
  CHECK(at(convert_form(Velocity{}, X0{}, end), x, f) == -f);
}

TEST_CASE("at clean data a data prediction gives no noise, the others do") {
  const Level clean = table.level(-1);
  CHECK_THROWS_WITH_AS(X0::eps(clean), doctest::Contains("clean data"), NumericError);
  CHECK_THROWS_AS((convert_form(X0{}, Epsilon{}, clean)), NumericError);
  CHECK_THROWS_AS((convert_form(X0{}, Velocity{}, clean)), NumericError);
  const double x = 0.7, f = -1.3;
  CHECK(at(Epsilon::x0(clean), x, f) == x);
  CHECK(at(Epsilon::eps(clean), x, f) == f);
  CHECK(at(Velocity::x0(clean), x, f) == x);
  CHECK(at(Velocity::eps(clean), x, f) == f);
  CHECK(at(convert_form(Velocity{}, X0{}, clean), x, f) == x);
  // No noise is left there, so none is asked for.
  CHECK(at(jump_form(X0{}, clean, clean), x, f) == f);
}

TEST_CASE("the names are those of diffusers' prediction types") {
  CHECK(std::string(Epsilon::name) == "epsilon");
  CHECK(std::string(Velocity::name) == "v_prediction");
  CHECK(std::string(X0::name) == "sample");
}
