// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/sde.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "numbers.hpp"

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();

Mixture three() { return Mixture({{2, {1.5, 0}, 0.2, 0}, {1, {-1, 1}, 0.4, 1}, {1, {-0.5, -1.5}, 0.3, 1}}); }
AnalyticDenoiser<> gaussian(double deviation) { return {table, Mixture({{1, {0.0}, deviation, 0}})}; }

// Largest distance of the samples' end points from the exact flow's.
template <class S>
double flow_error(int steps) {
  const AnalyticDenoiser<> teacher(table, three());
  const auto noise = numbers::normal<double>(Shape{64, 2}, "mixture");
  const Sampler<S, StableDiffusion> sampler({.eta = 0});
  const auto got = sampler(teacher, noise, Unconditional{}, steps);
  const VpSde sde(table);
  auto score = [&](const std::vector<double>& x, Level l, std::vector<double>& out) {
    teacher.mixture().score(x, l, out);
  };
  double sum = 0;
  for (std::int64_t b = 0; b < 64; ++b) {
    const auto end = integrate_flow(sde, score, std::vector<double>{noise[2 * b], noise[2 * b + 1]}, 999, 0);
    sum += std::hypot(got[2 * b] - end[0], got[2 * b + 1] - end[1]);
  }
  return sum / 64;
}

}  // namespace

TEST_CASE("noise, data and score of a mixture agree with its density by finite differences") {
  const Mixture m = three();
  for (const int t : {0, 124, 499, 999}) {
    const Level l = table.level(t);
    for (const std::vector<double>& x : {std::vector<double>{0.3, -0.2}, {1.4, 0.1}, {-2, -1}}) {
      std::vector<double> score(2), eps(2), x0(2);
      m.score(x, l, score);
      m.eps(x, l, eps);
      m.x0(x, l, x0);
      for (std::size_t j = 0; j < 2; ++j) {
        const double h = 1e-5;
        auto up = x, down = x;
        up[j] += h;
        down[j] -= h;
        const double numeric = (m.log_density(up, l) - m.log_density(down, l)) / (2 * h);
        CHECK(score[j] == doctest::Approx(numeric).epsilon(1e-6));
        CHECK(eps[j] == doctest::Approx(-l.sigma * numeric).epsilon(1e-6));    // eps = -sigma score
        CHECK(x0[j] == doctest::Approx((x[j] - l.sigma * eps[j]) / l.alpha));  // x = alpha x0 + sigma eps
      }
    }
  }
}

TEST_CASE("the density is that of the noised samples") {
  // Each component alone integrates to one; the mixture of one component is a normal density.
  const Mixture one({{3, {1.0}, 0.5, 0}});
  const Level l = table.level(499);
  const double s = l.alpha * l.alpha * 0.25 + l.sigma * l.sigma, d = 0.3 - l.alpha;
  CHECK(one.log_density(std::vector<double>{0.3}, l) ==
        doctest::Approx(-0.5 * d * d / s - 0.5 * std::log(2 * 3.14159265358979 * s)));
  // Far from everything the responsibilities do not underflow.
  std::vector<double> eps(2);
  three().eps(std::vector<double>{500, -500}, table.level(0), eps);
  CHECK(std::isfinite(eps[0]));
}

TEST_CASE("the clean end has no noise, and a class conditions on its components only") {
  std::vector<double> x0(2), eps(2), alone(2);
  const std::vector<double> x{0.2, 0.4};
  three().eps(x, table.level(-1), eps);
  CHECK(eps == std::vector<double>{0, 0});
  three().x0(x, table.level(499), x0, 0);
  Mixture({{1, {1.5, 0}, 0.2, 0}}).x0(x, table.level(499), alone);
  CHECK(x0[0] == doctest::Approx(alone[0]).epsilon(1e-13));
  CHECK(x0[1] == doctest::Approx(alone[1]).epsilon(1e-13));
  CHECK_THROWS_WITH_AS(three().x0(x, table.level(499), x0, 7), doctest::Contains("class 7"), OptionError);
}

TEST_CASE("Bayes: the class conditions average to the whole, weighted by their probability at x") {
  const AnalyticDenoiser<> net(table, three());
  const auto x = numbers::normal<double>(Shape{5, 2}, "x");
  const auto t = Tensor<double>::full(Shape{5}, 300);
  const auto all = net(x, t, Unconditional{}), a = net(x, t, Tensor<double>::zeros(Shape{5})),
             b = net(x, t, Tensor<double>::ones(Shape{5}));
  CHECK(net(x, t, net.null_condition(t)).to_vector() == all.to_vector());
  const Level l = table.level(300);
  for (std::int64_t i = 0; i < 5; ++i) {
    const std::vector<double> p{x[2 * i], x[2 * i + 1]};
    // Both classes have half of the prior.
    const double pa = std::exp(net.mixture().log_density(p, l, 0)), pb = std::exp(net.mixture().log_density(p, l, 1));
    const double share = pa / (pa + pb);
    for (std::int64_t j = 2 * i; j < 2 * i + 2; ++j)
      CHECK(all[j] == doctest::Approx(share * a[j] + (1 - share) * b[j]).epsilon(1e-12));
  }
}

TEST_CASE("unit Gaussian data: one DDIM step is the cosine of the angle, and chains are the known products") {
  const AnalyticDenoiser<> net = gaussian(1);
  const Sampler<Ddim, StableDiffusion> sampler;
  const auto one = Tensor<double>::ones(Shape{1, 1});
  const std::pair<int, double> known[] = {{1, 0.0973226436}, {4, 0.7202211704}, {8, 0.8490598819}, {40, 0.9664056630}};
  for (const auto& [steps, value] : known)
    CHECK(sampler(net, one, Unconditional{}, steps)[0] == doctest::Approx(value).epsilon(1e-9));
}

TEST_CASE("all prediction types sample alike") {
  const auto noise = numbers::normal<double>(Shape{16, 2}, "noise");
  const auto eps =
      Sampler<Ddim, StableDiffusion>{}(AnalyticDenoiser<Discrete<>>(table, three()), noise, Unconditional{}, 8);
  const auto v = Sampler<Ddim, Process<ScaledLinear, Velocity>>{}(AnalyticDenoiser<Discrete<Velocity>>(table, three()),
                                                                  noise, Unconditional{}, 8);
  const auto x0 = Sampler<Ddim, Process<ScaledLinear, X0>>{}(AnalyticDenoiser<Discrete<X0>>(table, three()), noise,
                                                             Unconditional{}, 8);
  CHECK(numbers::distance(eps, v) < 1e-11);
  CHECK(numbers::distance(eps, x0) < 1e-11);
}

TEST_CASE("DDIM and TCD without noise converge to the exact flow at first order") {
  const double e50 = flow_error<Ddim>(50), e100 = flow_error<Ddim>(100), e200 = flow_error<Ddim>(200);
  CHECK(std::log2(e50 / e100) == doctest::Approx(1).epsilon(0.15));
  CHECK(std::log2(e100 / e200) == doctest::Approx(1).epsilon(0.15));
  CHECK(e200 < 0.05);
  CHECK(flow_error<Tcd>(100) == e100);
}

TEST_CASE("samples of the mixture have its moments") {
  const AnalyticDenoiser<> net(table, three());
  constexpr std::int64_t n = 40000;
  const auto x = net.data<double>(n, stream(1, "data"));
  double mean[2] = {0, 0}, square[2] = {0, 0};
  for (std::int64_t i = 0; i < 2 * n; ++i) {
    mean[i % 2] += x[i] / n;
    square[i % 2] += x[i] * x[i] / n;
  }
  // Means and second moments of the weights 1/2, 1/4, 1/4.
  const double m[2] = {0.75 - 0.25 - 0.125, 0.25 - 0.375};
  const double s[2] = {0.5 * (2.25 + 0.04) + 0.25 * (1 + 0.16) + 0.25 * (0.25 + 0.09),
                       0.5 * 0.04 + 0.25 * (1 + 0.16) + 0.25 * (2.25 + 0.09)};
  for (int j = 0; j < 2; ++j) {
    CHECK(std::abs(mean[j] - m[j]) < 4 * std::sqrt(s[j] / n));
    CHECK(std::abs(square[j] - s[j]) < 4 * std::sqrt(6.0 / n));
  }
}

TEST_CASE("mixtures and batches that make no sense are refused") {
  CHECK_THROWS_AS(Mixture({}), OptionError);
  CHECK_THROWS_WITH_AS(Mixture({{1, {0, 0}, 1, 0}, {1, {0}, 1, 0}}), doctest::Contains("dimensions"), OptionError);
  CHECK_THROWS_WITH_AS(Mixture({{1, {0}, -1, 0}}), doctest::Contains("deviation -1"), OptionError);
  const AnalyticDenoiser<> net(table, three());
  const Tensor<double> x(Shape{2, 3}), t(Shape{2});
  CHECK_THROWS_WITH_AS(net(x, t, Unconditional{}), doctest::Contains("2 dimensions"), ShapeError);
  CHECK_THROWS_AS(net(Tensor<double>(Shape{2, 2}), t, Tensor<double>(Shape{3})), ShapeError);
}
