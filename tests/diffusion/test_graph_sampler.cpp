// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/graph_sampler.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

using Batch = Tensor<float>;

/// A denoiser whose output depends on all of its inputs.
struct Net {
  Batch operator()(const Batch& x, const Batch& t, const Batch& c) const {
    Batch out(x.shape());
    const std::int64_t inner = x.size() / x.dim(0);
    for (std::int64_t i = 0; i < x.size(); ++i)
      out[i] = std::sin((1 + c[i / inner]) * x[i]) + 0.1F * c[i / inner] + t[i / inner] / 4000;
    return out;
  }
  Batch operator()(const Batch& x, const Batch& t, const Batch& c, const Batch& w) const {
    return (*this)(x, t, ops::map(ops::Add{}, c, w));
  }
};

const Shape shape{3, 5, 7};
const auto condition = Batch::from({3}, {1, 2, 0.5F}), other = Batch::from({3}, {-1, 0.3F, 4});
const auto null = Batch::full({3}, -0.5F);

/// Runs recorded with one noise, condition and seed and replayed with others are those of the sampler, bit for bit.
template <class S, class C>
void check_replays(const S& sampler, const C& first, const C& second, const Steps& steps,
                   const SampleOptions& options = {}) {
  const auto a = numbers::normal<float>(shape, "a"), b = numbers::normal<float>(shape, "b");
  const Net net;
  const GraphSampler recorded(sampler, net, a, first, steps, options);
  const auto expect = [&](const Batch& noise, const C& told, std::uint64_t seed, std::int64_t first_sample) {
    SampleOptions o = options;
    o.seed = seed;
    o.first_sample = first_sample;
    const auto expected = sampler(net, noise, told, steps, o);
    const auto got = recorded(noise, told, seed, first_sample);
    CHECK(got.shape() == shape);
    CHECK(got.to_vector() == expected.to_vector());
  };
  expect(b, second, 7, 0);
  expect(b, first, 8, 3);
  expect(a, first, 8, 2);
  const auto kept = recorded(a, first, 1);
  const auto before = kept.to_vector();
  (void)recorded(b, second, 2);
  CHECK(kept.to_vector() == before);  // a result is the caller's own
}

}  // namespace

TEST_CASE("replayed runs of any solver are the sampler's") {
  check_replays(Sampler<Tcd, StableDiffusion>({.eta = 0.4}), condition, other, 4);
  check_replays(Sampler<Ddim, Process<ScaledLinear, Velocity>>{}, condition, other, {999, 500, 20});
  check_replays(Sampler<DpmPp2M, StableDiffusion>{}, condition, other, 5);
  check_replays(Sampler<Heun, Process<ScaledLinear, X0>>{}, condition, other, 3);
}

TEST_CASE("replayed runs with guidance are the sampler's") {
  const GuidedCondition both{condition, null}, both_others{other, null};
  check_replays(Sampler<Tcd, StableDiffusion, ClassifierFree>({.eta = 0.4}, {}, {.scale = 3}), both, both_others, 4);
  check_replays(Sampler<DpmPp2M, StableDiffusion, ClassifierFree>({}, {}, {.scale = 3, .rescale = 0.7}), both,
                both_others, 4);
  SampleOptions options;
  options.guidance = {1, 5, 7.5};
  check_replays(Sampler<Ddim, StableDiffusion, ClassifierFree>({}, {}, {.rescale = 0.5}), both, both_others, 4,
                options);
  check_replays(Sampler<Ddim, StableDiffusion, EmbeddedGuidance>({}, {}, {.scale = 2.5}), condition, other, 4);
}

TEST_CASE("the seed of a replay matters to stochastic solvers") {
  const auto noise = numbers::normal<float>(shape, "a");
  const Net net;
  const GraphSampler recorded(Sampler<Tcd, StableDiffusion>({.eta = 0.4}), net, noise, condition, 4);
  CHECK(recorded(noise, condition, 1).to_vector() != recorded(noise, condition, 2).to_vector());
  CHECK(recorded(noise, condition, 1).to_vector() == recorded(noise, condition, 1).to_vector());
}

TEST_CASE("other shapes and options than a recorded run has are refused") {
  const auto noise = numbers::normal<float>(shape, "a");
  const Net net;
  const Sampler<Ddim, StableDiffusion> sampler;
  const GraphSampler recorded(sampler, net, noise, condition, 2);
  CHECK_THROWS_WITH_AS(recorded(noise.slice(0, 2), condition), doctest::Contains("[2, 5, 7]"), ShapeError);
  CHECK_THROWS_WITH_AS(recorded(noise, condition.slice(0, 2)), doctest::Contains("[2]"), ShapeError);
  CHECK_THROWS_WITH_AS(recorded(noise, condition, 1, -1), doctest::Contains("first sample -1"), OptionError);
  CHECK_THROWS_AS(GraphSampler(sampler, net, noise, condition, 0), OptionError);
  CHECK_THROWS_AS(GraphSampler(sampler, net, Batch(Shape{0, 3}), condition, 2), ShapeError);
}
