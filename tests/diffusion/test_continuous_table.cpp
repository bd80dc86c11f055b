// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/schedules/continuous_table.hpp>
//
#include <doctest/doctest.h>

#include <distill/continuous.hpp>
#include <hypersd/diffusion/rates.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
#include <hypersd/ops/random.hpp>

using namespace hypersd;
using continuous::Jet;
using diffusion::ContinuousTable;
using diffusion::Epsilon;
using diffusion::Process;
using diffusion::ScaledLinear;
using diffusion::Unconditional;

namespace {

using Continuous = Process<ContinuousTable<ScaledLinear>, Epsilon>;

/// Some function of the table's index.
struct Net {
  Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>& t, const Unconditional&) const {
    Tensor<double> out(x.shape());
    for (std::int64_t i = 0; i < x.size(); ++i) out[i] = std::tanh(x[i]) * (0.2 + std::cos(t[i] / 300));
    return out;
  }
};

}  // namespace

TEST_CASE("A table in continuous time has the table's levels at its entries, and its index as the network's time") {
  const Continuous process;
  const auto table = diffusion::noise_table<ScaledLinear>();
  for (const int i : {0, 1, 2, 124, 499, 874, 997, 998, 999}) {
    CAPTURE(i);
    const double t = process.process_time(i);
    CHECK(process.level(t).alpha == doctest::Approx(table.level(i).alpha).epsilon(1e-13));
    CHECK(process.level(t).sigma == doctest::Approx(table.level(i).sigma).epsilon(1e-13));
    CHECK(process.network_time(t) == doctest::Approx(i).epsilon(1e-10));
  }
  // atan(sigma / alpha) of the table, worked apart.
  CHECK(process.first() == doctest::Approx(0.02915889).epsilon(1e-6));
  CHECK(process.process_time(499) == doctest::Approx(1.01579587).epsilon(1e-8));
  CHECK(process.last() == doctest::Approx(1.50247828).epsilon(1e-8));
  // The inverse between entries, and times outside of them.
  for (const double n : {0.25, 3.5, 500.75, 998.9})
    CHECK(process.network_time(process.process_time(n)) == doctest::Approx(n).epsilon(1e-10));
  CHECK(process.network_time(0.01) == 0);
  CHECK_THROWS_AS((void)process.level(1.51), OptionError);
  CHECK_THROWS_AS(ContinuousTable<ScaledLinear>(ScaledLinear{{.train_steps = 4}}), OptionError);
  CHECK(Continuous() == Continuous());
  CHECK(!(Continuous() == Continuous(ContinuousTable<ScaledLinear>(ScaledLinear{{.train_steps = 500}}))));
}

TEST_CASE("The index is smooth in time: its derivative is that of the betas, without jumps at entries") {
  const Continuous process;
  const auto rate = [&](double n) {
    const double t = process.process_time(n), h = 1e-6;
    return (process.network_time(t + h) - process.network_time(t - h)) / (2 * h);
  };
  // -ln alphas_cumprod(u) is T ((a + d u)^3 - a^3) / (3 d) up to O(beta), so d index / dt = 2 tan t / beta.
  const double a = std::sqrt(0.00085), d = std::sqrt(0.012) - a;
  for (const double n : {50.0, 499.5, 900.0}) {
    const double root = a + d * (n + 0.5) / 1000, expected = 2 * std::tan(process.process_time(n)) / (root * root);
    CHECK(rate(n) == doctest::Approx(expected).epsilon(0.01));
    CHECK(diffusion::Rates(process).network_time(process.process_time(n)) == doctest::Approx(rate(n)).epsilon(1e-6));
  }
  for (const double n : {5.0, 500.0}) CHECK(rate(n - 1e-3) == doctest::Approx(rate(n + 1e-3)).epsilon(1e-3));
}

TEST_CASE("Sampling is that of the table: its trailing grid, and the same chain to rounding") {
  const auto z = ops::normal<double>(Shape{8, 1}, stream(1, "z"));
  for (const int steps : {1, 4, 8, 40}) {
    const auto a =
        diffusion::Sampler<diffusion::DdimOde, diffusion::StableDiffusion>()(Net{}, z, Unconditional{}, steps);
    const auto b = diffusion::Sampler<diffusion::DdimOde, Continuous>()(Net{}, z, Unconditional{}, steps);
    for (std::int64_t i = 0; i < z.size(); ++i) CHECK(b[i] == doctest::Approx(a[i]).epsilon(1e-9));
  }
}

TEST_CASE("sCD of a noise prediction on the table: the exact consistency function of Gaussian data has no tangent") {
  const Continuous process;
  const double m = 0.3, c = 0.5;
  const diffusion::Rates rates(process);
  const continuous::AffineStudent exact{[&](Jet n, Jet) {
    const double angle = process.process_time(n.v);
    const Jet t(angle, n.d / rates.network_time(angle)), s = process.first();
    const auto variance = [&](Jet u) { return cos(u) * cos(u) * (c * c) + sin(u) * sin(u); };
    if (n.v == 0) return std::pair(sin(t) / variance(t), Jet(0) - sin(t) * cos(t) * m / variance(t));  // no jump
    // Psi = A x + B f of a noise prediction, A = cos s / cos t, B = sin s - cos s tan t.
    const Jet k = sqrt(variance(s) / variance(t)), b = sin(s) - cos(s) * sin(t) / cos(t);
    return std::pair((k - cos(s) / cos(t)) / b, (cos(s) * m - k * cos(t) * m) / b);
  }};
  const diffusion::IndependentDenoiser<Continuous> teacher(process, diffusion::Mixture({{1, {m}, c, 0}}));
  const distill::Batch<double, Cpu, Unconditional> batch{ops::normal<double>(Shape{64, 2}, stream(1, "data")), {}};
  const distill::Scd<Continuous> objective(
      {.times = {.kind = distill::TimeProposal::Kind::uniform}, .bound = distill::TangentBound::none});
  CHECK(objective.loss(exact, teacher, exact, batch, {3, 1}).loss.item() < 1e-12);
  continuous::AffineStudent off = exact;
  off.a = Var<double>(Tensor<double>::full(Shape{1}, 0.9), true);
  CHECK(objective.loss(off, teacher, off, batch, {3, 1}).loss.item() > 1e-5);
}
