// SPDX-License-Identifier: Apache-2.0
#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/nn/init.hpp>
#include <hypersd/nn/models/unet.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

using Batch = Tensor<double>;

/// A student whose answer depends on w, and which keeps what it was given.
struct Student {
  mutable std::vector<std::vector<double>> seen{};
  template <class Condition>
  Batch operator()(const Batch& x, const Batch&, const Condition&, const Batch& w) const {
    seen.push_back(w.to_vector());
    return ops::map(ops::Mul{}, x, ops::per_sample(ops::map(ops::Affine<double>{0.1, 0.3}, w)));
  }
};
/// The same on variables, as a network has it.
struct VariableStudent {
  Var<double> operator()(const Var<double>& x, const Batch&, const Unconditional&, const Batch& w) const {
    return autograd::mul(x, ops::per_sample(ops::map(ops::Affine<double>{0.1, 0.3}, w)));
  }
};
/// A student for one w.
struct Fixed {
  double w;
  Batch operator()(const Batch& x, const Batch&, const Unconditional&) const {
    return ops::map(ops::Affine<double>{0.1 * w + 0.3, 0}, x);
  }
};

template <class S>
using Embedded = Sampler<S, StableDiffusion, EmbeddedGuidance>;

const Batch noise = numbers::normal<double>(Shape{3, 8}, "noise");

}  // namespace

TEST_CASE("the guidance embedding has its known numbers") {
  const auto e = guidance_embedding(Batch::from(Shape{2}, {7, 0}), 8);
  CHECK(e.shape() == Shape{2, 8});
  const double expected[] = {0.5068854299, -0.9704708168, 0.5866535972,  0.6442176872,
                             0.8620134343, -0.2412185602, -0.8098379819, 0.7648421873};
  for (std::int64_t i = 0; i < 8; ++i) {
    CHECK(std::abs(e[i] - expected[i]) < 1e-9);
    CHECK(e[8 + i] == (i < 4 ? 0 : 1));
  }
  const auto odd = guidance_embedding(Batch::from(Shape{1}, {7}), 9);
  CHECK(odd.slice(0, 1).to_vector()[8] == 0);
  CHECK(odd[3] == e[3]);
  CHECK(odd[4] == e[4]);
  CHECK(guidance_embedding(Batch::from(Shape{1}, {2})).shape() == Shape{1, 256});
  // In float32 the angle alone would be off by 1e-3.
  const auto narrow = guidance_embedding(Tensor<float>::from(Shape{1}, {14}), 8);
  CHECK(std::abs(narrow[0] - static_cast<float>(std::sin(14000.0))) < 1e-6F);
  CHECK_THROWS_AS(guidance_embedding(noise, 8), ShapeError);
  CHECK_THROWS_WITH_AS(guidance_embedding(Batch::from(Shape{1}, {7}), 3), doctest::Contains("dim = 3"), OptionError);
}

TEST_CASE_TEMPLATE("the student gets scale - 1", S, Lcm, DpmPp2M) {
  const Student student;
  const auto x = Embedded<S>({}, {}, {.scale = 4})(student, noise, Unconditional{}, 3);
  CHECK(student.seen == std::vector<std::vector<double>>(3, {3, 3, 3}));
  const Sampler<S, StableDiffusion> plain;
  CHECK(numbers::distance(x, plain(Fixed{3}, noise, Unconditional{}, 3)) < 1e-12);
  CHECK(numbers::distance(x, Embedded<S>({}, {}, {4})(VariableStudent{}, noise, Unconditional{}, 3)) < 1e-12);
}

TEST_CASE("every sample may have its own scale, and scales of at most 1 mean none") {
  const Student student;
  const SampleOptions options{.seed = 5, .guidance = {0, 1, 2.5}};
  const auto x = Embedded<Lcm>()(student, noise, Unconditional{}, 2, options);
  CHECK(student.seen == std::vector<std::vector<double>>(2, {0, 0, 1.5}));
  const Sampler<Lcm, StableDiffusion> plain;
  const auto last = plain(Fixed{1.5}, noise.slice(2, 3), Unconditional{}, 2, {.seed = 5, .first_sample = 2});
  CHECK(numbers::distance(x.slice(2, 3), last) < 1e-12);
  CHECK(EmbeddedGuidance{}.options.scale == 7.5);
}

TEST_CASE("of a guided condition only the condition itself is used") {
  const Student student;
  const GuidedCondition<Batch> condition{Batch::full(Shape{3}, 1), Batch::full(Shape{3}, 0)};
  const auto x = Embedded<Lcm>()(student, noise, condition, 2);
  CHECK(student.seen.size() == 2);
  CHECK(x.to_vector() == Embedded<Lcm>()(student, noise, condition.conditional, 2).to_vector());
}

TEST_CASE("a UNet with time_cond_proj_dim is such a student") {
  nn::UnetConfig config;
  config.block_out_channels = {4};
  config.down_attention = {false};
  config.heads = {2};
  config.transformer_layers = {1};
  config.cross_attention_dim = 4;
  config.norm_num_groups = 2;
  config.time_cond_proj_dim = 16;
  nn::Unet<double> net(config);
  nn::init_parameters(net, 1);
  const auto x = numbers::normal<double>(Shape{2, 4, 4, 4}, "x");
  const nn::UnetCondition<double> condition{Var<double>(numbers::normal<double>(Shape{2, 3, 4}, "tokens")), {}};
  const SampleOptions options{.seed = 2, .guidance = {1, 6}};
  const Sampler<Lcm, StableDiffusion> plain;
  const auto without = plain(net, x, condition, 2, {.seed = 2});
  CHECK(Embedded<Lcm>()(net, x, condition, 2, options).to_vector() == without.to_vector());  // before any training
  auto& weight = net.encoder.time_embedding.cond_proj->weight;
  weight.assign(numbers::normal<double>(weight.shape(), "weight"));
  const auto with = Embedded<Lcm>()(net, x, condition, 2, options);
  CHECK(numbers::distance(with.slice(0, 1), without.slice(0, 1)) > 1e-6);  // w = 0 has features too
  CHECK(numbers::distance(with.slice(1, 2), without.slice(1, 2)) > 1e-6);
  const Sampler<DpmPp2M, StableDiffusion, EmbeddedGuidance> other;
  CHECK(other(net, x, condition, 2, options).shape() == x.shape());
}

TEST_CASE("scales that do not fit are refused") {
  CHECK_THROWS_WITH_AS(Embedded<Lcm>()(Student{}, noise, Unconditional{}, 2, {.guidance = {2, 3}}),
                       doctest::Contains("2 guidance scales for 3 samples"), OptionError);
  const double infinite = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(Embedded<Lcm>({}, {}, {infinite})(Student{}, noise, Unconditional{}, 2), OptionError);
}
