// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/elementwise.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "numbers.hpp"

using namespace hypersd;
using namespace hypersd::diffusion;
using numbers::distance;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();
const Mixture normal_data({{1, {0.4}, 0.7, 0}});
const Mixture three({{0.5, {-1.5}, 0.2, 0}, {0.2, {0.3}, 0.5, 0}, {0.3, {2}, 0.05, 0}});

/// Data of independent elements as `AnalyticDenoiser` sees it: each element a sample of one dimension.
template <Prediction P>
Tensor<double> reference(const Mixture& mixture, const Tensor<double>& x, int time) {
  const AnalyticDenoiser<Discrete<P>> net(table, mixture);
  return net(x.reshape({x.size(), 1}), Tensor<double>::full({x.size()}, time), Unconditional{}).reshape(x.shape());
}

template <Prediction P>
void check_prediction(const Mixture& mixture) {
  const IndependentDenoiser<Discrete<P>> net(table, mixture);
  const auto x = numbers::normal<double>({3, 40}, "x");
  for (const int time : {0, 250, 999}) {
    const auto expected = reference<P>(mixture, x, time);
    CHECK(distance(net(x, Tensor<double>::full({3}, time), Unconditional{}), expected) < 1e-9);
    const auto narrow = net(x.cast<float>(), Tensor<float>::full({3}, static_cast<float>(time)), Unconditional{});
    CHECK(distance(narrow.template cast<double>(), expected) < 2e-4);
  }
}

/// The same denoiser, its functor hidden: the sampler stores its predictions.
template <class Net>
struct Hidden {
  const Net& net;
  template <class T>
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, const Unconditional& c) const {
    return net(x, t, c);
  }
};

template <class S, Prediction P, class T>
double difference(const Mixture& mixture, typename S::Options options, std::uint64_t seed) {
  const IndependentDenoiser<Discrete<P>> net(table, mixture);
  static_assert(ElementwiseDenoiser<IndependentDenoiser<Discrete<P>>, T> &&
                !ElementwiseDenoiser<Hidden<decltype(net)>, T>);
  const auto noise = numbers::normal<T>({3, 700}, "noise");
  const Sampler<S, Process<ScaledLinear, P>> sampler(options);
  SampleOptions o;
  o.seed = seed;
  o.first_sample = 2;
  const auto stored = sampler(Hidden<decltype(net)>{net}, noise, Unconditional{}, 4, o);
  const auto computed = sampler(net, noise, Unconditional{}, 4, o);
  CHECK(distance(stored, noise) > 0.1);
  return distance(stored, computed);
}

}  // namespace

TEST_CASE("the prediction of an element is that of the exact mixture") {
  check_prediction<Epsilon>(normal_data);
  check_prediction<X0>(normal_data);
  check_prediction<Velocity>(normal_data);
  check_prediction<Epsilon>(three);
  check_prediction<X0>(three);
  check_prediction<Velocity>(three);
}

TEST_CASE("a step that computes the prediction is one that reads it") {
  CHECK(difference<Tcd, Epsilon, double>(normal_data, {.eta = 0.3}, 5) < 1e-13);
  CHECK(difference<Tcd, Velocity, float>(normal_data, {.eta = 0.3}, 5) < 2e-6);
  CHECK(difference<Ddim, Epsilon, double>(three, {}, 5) < 1e-12);
  CHECK(difference<DpmPp2M, X0, double>(three, {}, 5) < 1e-12);
  CHECK(difference<Heun, Velocity, double>(three, {}, 5) < 1e-12);
}

TEST_CASE("mixtures of several dimensions or too many components are refused") {
  const std::vector<Component> nine(9, Component{1, {0.0}, 1, 0});
  CHECK_THROWS_WITH_AS(IndependentDenoiser<>(table, Mixture(nine)), doctest::Contains("9 components"), OptionError);
  CHECK_THROWS_WITH_AS(IndependentDenoiser<>(table, Mixture({{1, {0, 0}, 1, 0}})), doctest::Contains("2 dimensions"),
                       OptionError);
}
