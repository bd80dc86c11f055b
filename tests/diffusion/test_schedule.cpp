// SPDX-License-Identifier: Apache-2.0
// Noise levels against diffusers' tables (tests/golden/README.md), rows worked out in Python and identities.
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>

#include <hypersd/diffusion/process.hpp>
#include <hypersd/diffusion/schedules/cosine.hpp>
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/io/safetensors.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numbers>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

template <class S>
void check_golden(const std::string& name, double relative, double absolute) {
  CAPTURE(name);
  const io::SafetensorsFile golden(HYPERSD_TEST_DATA "/schedules.safetensors");
  const auto exact = golden.get<double>(name + ".exact_f64"), rounded = golden.get<double>(name + ".diffusers_f32");
  const NoiseTable table = noise_table<S>();
  REQUIRE(table.size() == exact.size());
  REQUIRE(table.size() == rounded.size());
  double worst = 0, worst_rounded = 0;
  for (int t = 0; t < table.size(); ++t) {
    const double a = table.alphas_cumprod(t);
    worst = std::fmax(worst, std::abs(a - exact[t]) / (relative * exact[t] + absolute));
    worst_rounded = std::fmax(worst_rounded, std::abs(a - rounded[t]));
  }
  CHECK(worst <= 1);
  CHECK(worst_rounded < 5e-6);
}

template <class S>
void check_message(const typename S::Options& options, const char* part) {
  CAPTURE(part);
  CHECK_THROWS_WITH_AS(noise_table(S{options}), doctest::Contains(part), OptionError);
}

/// beta_t, got back from neighbouring products.
double beta(const NoiseTable& table, int t) { return 1 - table.alphas_cumprod(t) / table.alphas_cumprod(t - 1); }

static_assert(!Linear::zero_terminal_snr && !ScaledLinear::zero_terminal_snr && !Cosine::zero_terminal_snr);
static_assert(ZeroTerminalSnr<>::zero_terminal_snr && ZeroTerminalSnr<Cosine>::zero_terminal_snr);

}  // namespace

TEST_CASE("all schedules equal diffusers' tables") {
  check_golden<Linear>("linear", 1e-12, 0);
  check_golden<ScaledLinear>("scaled_linear", 1e-12, 0);
  // The cap meets a ratio of two values near a zero of the cosine: the last entries carry its rounding.
  check_golden<Cosine>("cosine", 1e-12, 1e-15);
  // The shift cancels near the end; rounding of the square roots stays.
  check_golden<ZeroTerminalSnr<Linear>>("linear_zero_snr", 1e-12, 1e-15);
  check_golden<ZeroTerminalSnr<>>("scaled_linear_zero_snr", 1e-12, 1e-15);
  check_golden<ZeroTerminalSnr<Cosine>>("cosine_zero_snr", 1e-12, 1e-15);
}

TEST_CASE("the levels of Stable Diffusion have their known values") {
  struct Row {
    int t;
    double alphas_cumprod, alpha, sigma, snr;
  };
  const Row rows[] = {
      {0, 0.99915, 0.99957491, 0.02915476, 1175.4706},        {19, 0.9822439911, 0.99108223, 0.13325168, 55.318963},
      {124, 0.8634075569, 0.92919726, 0.36958415, 6.3210492}, {249, 0.6754324137, 0.82184695, 0.56970833, 2.0810224},
      {499, 0.2776696505, 0.52694369, 0.84990020, 0.3844081}, {800, 0.0368696166, 0.19201463, 0.98139206, 0.0382810},
      {999, 0.0046600985, 0.06826491, 0.99766723, 0.0046819}};
  const NoiseTable table = noise_table<ScaledLinear>();
  for (const Row& r : rows) {
    CAPTURE(r.t);
    CHECK(std::abs(table.alphas_cumprod(r.t) - r.alphas_cumprod) < 1e-10);
    CHECK(std::abs(table.alpha(r.t) - r.alpha) < 1e-8);
    CHECK(std::abs(table.sigma(r.t) - r.sigma) < 1e-8);
    CHECK(std::abs(table.snr(r.t) - r.snr) < 6e-8 * std::fmax(1, r.snr));
  }
}

TEST_CASE("alpha, sigma, SNR and lambda fit together at every time") {
  for (const NoiseTable& table : {noise_table<Linear>(), noise_table<ScaledLinear>(), noise_table<Cosine>()})
    for (int t = 0; t < table.size(); ++t) {
      CAPTURE(t);
      const Level l = table.level(t);
      REQUIRE(std::abs(l.alpha * l.alpha + l.sigma * l.sigma - 1) < 4e-16);
      REQUIRE(l.alpha * l.alpha == doctest::Approx(table.alphas_cumprod(t)).epsilon(1e-15));
      REQUIRE(table.log_alphas_cumprod(t) == doctest::Approx(2 * std::log(l.alpha)).epsilon(1e-9));
      REQUIRE(std::exp(2 * table.lambda(t)) == doctest::Approx(table.snr(t)).epsilon(1e-11));
      // The logistic function of twice lambda is alpha^2.
      REQUIRE(1 / (1 + std::exp(-2 * table.lambda(t))) == doctest::Approx(table.alphas_cumprod(t)).epsilon(1e-11));
      if (t > 0) REQUIRE(table.lambda(t) < table.lambda(t - 1));
    }
}

TEST_CASE("the SNR of Stable Diffusion falls below 25, 5 and 1 at times 41, 147 and 354") {
  const NoiseTable table = noise_table<ScaledLinear>();
  for (const auto& [bound, t] : {std::pair{25.0, 41}, {5.0, 147}, {1.0, 354}}) {
    CHECK(table.snr(t) < bound);
    CHECK(table.snr(t - 1) >= bound);
  }
}

TEST_CASE("time -1 is clean data") {
  const NoiseTable table = noise_table<ScaledLinear>();
  CHECK(table.alpha(-1) == 1);
  CHECK(table.sigma(-1) == 0);
  CHECK(table.alphas_cumprod(-1) == 1);
  CHECK(table.log_alphas_cumprod(-1) == 0);
  CHECK(table.snr(-1) == std::numeric_limits<double>::infinity());
  CHECK(table.lambda(-1) == std::numeric_limits<double>::infinity());
  CHECK(Discrete<>(table).time(EndPoint::clean) == -1);
  CHECK(Discrete<>(table).time(EndPoint::first_entry) == 0);
}

TEST_CASE("beta is linear in t, or its root is") {
  const NoiseTable linear = noise_table(Linear{{.train_steps = 11, .beta_start = 0.1, .beta_end = 0.3}});
  const NoiseTable scaled = noise_table(ScaledLinear{{.train_steps = 11, .beta_start = 0.01, .beta_end = 0.36}});
  CHECK(linear.alphas_cumprod(0) == doctest::Approx(0.9));
  CHECK(scaled.alphas_cumprod(0) == doctest::Approx(0.99));
  for (int t = 1; t < 11; ++t) {
    CHECK(beta(linear, t) == doctest::Approx(0.1 + 0.02 * t).epsilon(1e-12));
    CHECK(std::sqrt(beta(scaled, t)) == doctest::Approx(0.1 + 0.05 * t).epsilon(1e-12));
  }
  // Equal ends: a geometric series. One step: its first beta.
  const NoiseTable flat = noise_table(Linear{{.train_steps = 5, .beta_start = 0.2, .beta_end = 0.2}});
  for (int t = 0; t < 5; ++t) CHECK(flat.alphas_cumprod(t) == doctest::Approx(std::pow(0.8, t + 1)).epsilon(1e-14));
  CHECK(noise_table(Linear{{.train_steps = 1}}).alphas_cumprod(0) == 1 - 1e-4);
}

TEST_CASE("the cosine schedule telescopes to squared cosines until its cap") {
  const NoiseTable table = noise_table<Cosine>();
  const auto f = [](double u) { return std::pow(std::cos((u + 0.008) / 1.008 * std::numbers::pi / 2), 2); };
  for (int t = 0; t < 999; ++t) REQUIRE(std::abs(table.alphas_cumprod(t) - f((t + 1) / 1000.0) / f(0)) <= 1e-13);
  CHECK(beta(table, 999) == doctest::Approx(0.999).epsilon(1e-12));
  const NoiseTable capped = noise_table(Cosine{{.train_steps = 10, .max_beta = 0.3}});
  for (int t = 1; t < 10; ++t) CHECK(beta(capped, t) <= 0.3 + 1e-12);
  CHECK(beta(capped, 9) == doctest::Approx(0.3).epsilon(1e-12));
}

TEST_CASE("zero terminal SNR keeps the first level, ends in pure noise and moves alpha affinely") {
  const NoiseTable base = noise_table<ScaledLinear>(), zero = noise_table<ZeroTerminalSnr<>>();
  CHECK(!base.zero_terminal_snr());
  CHECK(zero.zero_terminal_snr());
  CHECK(zero.alphas_cumprod(0) == doctest::Approx(base.alphas_cumprod(0)).epsilon(1e-15));
  CHECK(zero.alpha(999) == 0);
  CHECK(zero.sigma(999) == 1);
  CHECK(zero.snr(999) == 0);
  const double slope = (zero.alpha(0) - zero.alpha(999)) / (base.alpha(0) - base.alpha(999));
  for (int t = 0; t < 1000; ++t) REQUIRE(std::abs(zero.alpha(t) - slope * (base.alpha(t) - base.alpha(999))) < 1e-14);
  // Worked out in Python.
  CHECK(std::abs(zero.alphas_cumprod(249) - 0.6541890065) < 1e-10);
  CHECK(std::abs(zero.alphas_cumprod(499) - 0.2423591666) < 1e-10);
  CHECK(std::abs(zero.alphas_cumprod(749) - 0.0331714828) < 1e-10);
  CHECK(std::abs(zero.alphas_cumprod(998) - 1.96788806e-7) < 1e-15);
}

TEST_CASE("bad options of a schedule are named") {
  check_message<Linear>({.train_steps = 0}, "linear schedule: 0 training steps");
  check_message<ScaledLinear>({.train_steps = -3}, "scaled linear schedule: -3 training steps");
  check_message<Cosine>({.train_steps = 0}, "cosine schedule: 0 training steps");
  check_message<Linear>({.beta_start = 0}, "linear schedule: beta[0] = 0 ");
  check_message<Linear>({.beta_end = 1}, "linear schedule: beta[999] = 1 ");
  check_message<Linear>({.beta_start = -0.1}, "beta[0] = -0.1");
  check_message<Linear>({.beta_end = std::nan("")}, "linear schedule: beta[0]");
  check_message<ScaledLinear>({.beta_start = -0.1}, "scaled linear schedule: betas from -0.1");
  check_message<ScaledLinear>({.beta_end = 1.5}, "scaled linear schedule: beta[");
  check_message<Cosine>({.max_beta = 0}, "cosine schedule: beta[0] = 0 ");
  check_message<Cosine>({.max_beta = 1}, "cosine schedule: beta[999] = 1 ");
  check_message<ZeroTerminalSnr<Linear>>({.train_steps = 1}, "two time steps");
  check_message<ZeroTerminalSnr<Linear>>({.beta_start = 0}, "beta[0] = 0 ");
}

TEST_CASE("a table that does not fall strictly within (0, 1) is refused with its place") {
  const auto refused = [](std::vector<double> values, const char* part) {
    CAPTURE(part);
    CHECK_THROWS_WITH_AS(NoiseTable(std::move(values)), doctest::Contains(part), OptionError);
  };
  refused({}, "no time steps");
  refused({1.0, 0.5}, "alphas_cumprod[0] = 1 ");
  refused({0.9, 0.9}, "alphas_cumprod[1] = 0.9 after 0.9");
  refused({0.9, 0.5, 0.7}, "alphas_cumprod[2] = 0.7 after 0.5");
  refused({0.9, 0.0, -0.1}, "alphas_cumprod[1] = 0 ");
  refused({0.9, -0.1}, "alphas_cumprod[1] = -0.1");
  refused({0.9, std::nan("")}, "alphas_cumprod[1]");
  CHECK_NOTHROW(NoiseTable({0.9, 0.5, 0.0}));
  CHECK_NOTHROW(NoiseTable({0.5}));
}

TEST_CASE("times off the table are named") {
  const NoiseTable table = noise_table<ScaledLinear>();
  for (const int t : {-2, 1000}) {
    const std::string part = "time " + std::to_string(t) + " is not in [0, 999]";
    CHECK_THROWS_WITH_AS((void)table.level(t), doctest::Contains(part.c_str()), OptionError);
    CHECK_THROWS_AS((void)table.alphas_cumprod(t), OptionError);
    CHECK_THROWS_AS((void)table.log_alphas_cumprod(t), OptionError);
    CHECK_THROWS_AS((void)table.lambda(t), OptionError);
    CHECK_THROWS_AS((void)table.snr(t), OptionError);
    CHECK_THROWS_AS(table.check(t), OptionError);
  }
  CHECK_NOTHROW(table.check(-1));
  CHECK_THROWS_AS(table.check(-1, false), OptionError);
}
