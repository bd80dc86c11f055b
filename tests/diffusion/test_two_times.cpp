// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/two_times.hpp>
//
#include <doctest/doctest.h>

#include <distill/continuous.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/ops/random.hpp>

using namespace hypersd;
using continuous::AffineMap;
using continuous::Gaussian;
using diffusion::Flow;
using diffusion::Sampler;
using diffusion::Unconditional;

namespace {

Tensor<double> noise(std::int64_t n) { return ops::normal<double>(Shape{n, 1}, stream(3, "noise")); }

/// u = end, whatever the rest: what the network is told.
struct TellsEnd {
  Var<double> operator()(const Var<double>& x, const nn::Interval<double>& t, const Tensor<double>&) const {
    Tensor<double> out(x.shape());
    ops::map_into(out, ops::Identity{}, ops::per_sample(t.end.value));
    return Var<double>(out);
  }
};

}  // namespace

TEST_CASE("The sampler tells networks with a second time where each jump lands: one step of the exact map is exact") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const AffineMap exact{{data.exact(Flow())}};
  const auto z = noise(64);
  for (const int steps : {1, 2, 5}) {
    const auto x = Sampler<diffusion::DdimOde, Flow>()(exact, z, Unconditional{}, steps);
    for (std::int64_t i = 0; i < z.size(); ++i) CHECK(x[i] == doctest::Approx(0.3 + 0.5 * z[i]).epsilon(1e-12));
  }
}

TEST_CASE("With noise added after the jump the exact map keeps the distribution, by TCD and by LCM") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const AffineMap exact{{data.exact(Flow())}};
  const auto check = [](const Tensor<double>& x) {
    double mean = 0, squares = 0;
    for (const double v : x.span()) mean += v / static_cast<double>(x.size());
    for (const double v : x.span()) squares += (v - mean) * (v - mean) / static_cast<double>(x.size());
    CHECK(mean == doctest::Approx(0.3).epsilon(0.03));
    CHECK(std::sqrt(squares) == doctest::Approx(0.5).epsilon(0.02));
  };
  check(Sampler<diffusion::Tcd, Flow>({.eta = 0.5})(exact, noise(20000), Unconditional{}, 3));
  check(Sampler<diffusion::Lcm, Flow>()(exact, noise(20000), Unconditional{}, 3));
}

TEST_CASE("Solvers of several evaluations ask for the velocity itself") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const AffineMap exact{{data.exact(Flow())}};
  const auto z = noise(16);
  const auto a = Sampler<diffusion::Heun, Flow>()(exact, z, Unconditional{}, 3);
  const auto b = Sampler<diffusion::Heun, Flow>()(data.teacher(Flow()), z, Unconditional{}, 3);
  for (std::int64_t i = 0; i < z.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-12));
}

TEST_CASE("Under guidance both branches have the same end; a network with one time is not told") {
  const auto z = Tensor<double>::zeros(Shape{2, 1}), c = Tensor<double>::zeros(Shape{2});
  // x + (end - t) end, for both branches and any scale: 0 + (0.5 - 1) 0.5 + (0 - 0.5) 0.
  const Sampler<diffusion::DdimOde, Flow, diffusion::ClassifierFree> sampler({}, {}, {.scale = 3});
  const auto x = sampler(TellsEnd{}, z, diffusion::GuidedCondition<Tensor<double>>{c, c}, 2);
  for (const double v : x.span()) CHECK(v == doctest::Approx(-0.25));
  const Gaussian data{.m = 0.3, .c = 0.5};
  const continuous::AffineStudent one{data.exact(Flow())};
  const Tensor<double> at = Tensor<double>::ones(Shape{1, 1});
  CHECK(diffusion::predict_between(Flow(), one, at, {0.7}, {0.2}, Unconditional{}).item() ==
        diffusion::predict(Flow(), one, at, {0.7}, Unconditional{}).item());
}
