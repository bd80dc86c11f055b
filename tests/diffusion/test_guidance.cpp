// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/guidance.hpp>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace hypersd;
using namespace hypersd::diffusion;
using numbers::distance;

namespace {

using Batch = Tensor<double>;

/// 2 x + t / 1000 + 10 c of each sample, counting its calls and the samples of the last one.
struct Linear {
  mutable int calls = 0;
  mutable std::int64_t samples = 0;
  Batch operator()(const Batch& x, const Batch& t, const Batch& c) const {
    ++calls;
    samples = x.dim(0);
    Batch out(x.shape());
    const std::int64_t inner = x.size() / x.dim(0);
    for (std::int64_t i = 0; i < x.size(); ++i) out[i] = 2 * x[i] + t[i / inner] / 1000 + 10 * c[i / inner];
    return out;
  }
};

/// A condition that cannot be joined, and one that says how.
struct Alone {
  double value;
};
struct Named {
  std::vector<double> values;
  friend Named concat_batch(const Named& a, const Named& b) {
    Named out = a;
    out.values.insert(out.values.end(), b.values.begin(), b.values.end());
    return out;
  }
};
struct OfConditions {
  Linear inner;
  Batch operator()(const Batch& x, const Batch& t, const Alone& c) const {
    return inner(x, t, Batch::full(Shape{x.dim(0)}, c.value));
  }
  Batch operator()(const Batch& x, const Batch& t, const Named& c) const {
    return inner(x, t, Batch::from(Shape{x.dim(0)}, c.values));
  }
};

/// A trainable network, which reports whether a tape was recorded.
struct Trainable {
  Var<double> weight{Batch::full(Shape{1}, 3.0), true};
  mutable bool taped = true;
  Var<double> operator()(const Var<double>& x, const Batch&, const Unconditional&) const {
    auto out = autograd::mul(x, ops::everywhere(weight));
    taped = out.requires_grad();
    return out;
  }
};
struct WrongShape {
  Batch operator()(const Batch& x, const Batch&, const Unconditional&) const { return Batch::zeros(Shape{x.size()}); }
};

static_assert(TensorDenoiser<Linear, double, Cpu, Batch> && !Denoiser<Linear, double, Cpu, Batch>);
static_assert(Denoiser<Trainable, double, Cpu, Unconditional> && Predictor<Trainable, double, Cpu, Unconditional>);
static_assert(!Predictor<Linear, double, Cpu, Unconditional> && !Predictor<int, double, Cpu, Batch>);

const Batch x = numbers::normal<double>(Shape{3, 2, 4}, "x"), t = Batch::from(Shape{3}, {999, 499, 24});
const GuidedCondition<Batch> condition{Batch::from(Shape{3}, {1, 2, 3}), Batch::from(Shape{3}, {0, 0, -1})};
Batch conditional() { return Linear{}(x, t, condition.conditional); }
Batch unconditional() { return Linear{}(x, t, condition.null); }

/// Unbiased standard deviation of sample b.
double deviation(const Batch& e, std::int64_t b) {
  const auto values = e.slice(b, b + 1).to_vector();
  double mean = 0, square = 0;
  for (const double v : values) mean += v / static_cast<double>(values.size());
  for (const double v : values) square += (v - mean) * (v - mean);
  return std::sqrt(square / static_cast<double>(values.size() - 1));
}

/// e_u + g (e_c - e_u), element by element.
Batch guided(const Batch& c, const Batch& u, const std::vector<double>& scales) {
  Batch out(c.shape());
  const std::int64_t inner = c.size() / c.dim(0);
  for (std::int64_t i = 0; i < c.size(); ++i)
    out[i] = u[i] + scales[static_cast<std::size_t>(i / inner)] * (c[i] - u[i]);
  return out;
}

}  // namespace

TEST_CASE("predict checks times and shape and records no tape") {
  const Trainable net;
  CHECK(distance(predict(net, x, t, Unconditional{}), ops::map(ops::Affine<double>{3, 0}, x)) == 0);
  CHECK(!net.taped);
  // The guard is gone afterwards.
  CHECK(net(Var<double>(x), t, Unconditional{}).requires_grad());
  CHECK(distance(predict(Linear{}, x, t, condition.conditional), conditional()) == 0);
  CHECK_THROWS_WITH_AS(predict(net, x, t.slice(0, 2), Unconditional{}), doctest::Contains("2 times"), ShapeError);
  CHECK_THROWS_AS(predict(net, Batch::zeros(Shape{}), t.slice(0, 1), Unconditional{}), ShapeError);
  CHECK_THROWS_WITH_AS(predict(WrongShape{}, x, t, Unconditional{}), doctest::Contains("prediction: shapes [3, 2, 4]"),
                       ShapeError);
}

TEST_CASE("weights add up to one; scales of at most 1 are the condition alone") {
  for (const double g : {1.5, 7.5, 100.0}) {
    CHECK(guidance_weights(g).conditional == g);
    CHECK(guidance_weights(g).unconditional == 1 - g);
  }
  for (const double g : {1.0, 0.5, 0.0, -3.0}) {
    CHECK(guidance_weights(g).conditional == 1);
    CHECK(guidance_weights(g).unconditional == 0);
  }
  for (const double g : {std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_WITH_AS(guidance_weights(g), doctest::Contains("guidance scale"), OptionError);
  CHECK(scale_of_w(0) == 1);
  CHECK(scale_of_w(6.5) == 7.5);
}

TEST_CASE("guidance is e_u + g (e_c - e_u), and e_c + w (e_c - e_u), sample by sample") {
  const auto c = conditional(), u = unconditional();
  CHECK(distance(predict_guided(Linear{}, x, t, condition, {7.5, 3, 1.25}), guided(c, u, {7.5, 3, 1.25})) < 1e-12);
  const double w = 4;
  Batch other(c.shape());
  for (std::int64_t i = 0; i < c.size(); ++i) other[i] = c[i] + w * (c[i] - u[i]);
  CHECK(distance(predict_guided(Linear{}, x, t, condition, std::vector<double>(3, scale_of_w(w))), other) < 1e-12);
  // A scale of at most 1 among others leaves its sample as the condition has it.
  const auto mixed = predict_guided(Linear{}, x, t, condition, {0, 5, 1});
  CHECK(distance(mixed, guided(c, u, {1, 5, 1})) < 1e-12);
  CHECK(mixed.slice(0, 1).to_vector() == c.slice(0, 1).to_vector());
  CHECK_THROWS_WITH_AS(predict_guided(Linear{}, x, t, condition, {1, 2}), doctest::Contains("2 scales"), ShapeError);
  CHECK_THROWS_AS(predict_guided(Linear{}, x, t, condition, {1, 2, std::nan("")}), OptionError);
}

TEST_CASE("without guidance only the conditional branch is evaluated") {
  const Linear net;
  CHECK(predict_guided(net, x, t, condition, {1, 0, 0.5}).to_vector() == conditional().to_vector());
  CHECK(net.calls == 1);
  CHECK(net.samples == 3);
  const auto e = predict_branches(net, x, t, condition, false);
  CHECK(!e.unconditional.defined());
}

TEST_CASE("conditions that join share one call, others get two") {
  const Linear net;
  const auto e = predict_branches(net, x, t, condition);
  CHECK(net.calls == 1);
  CHECK(net.samples == 6);
  CHECK(distance(e.conditional, conditional()) == 0);
  CHECK(distance(e.unconditional, unconditional()) == 0);
  const OfConditions any;
  const auto named = predict_branches(any, x, t, GuidedCondition{Named{{1, 2, 3}}, Named{{0, 0, -1}}});
  CHECK(any.inner.calls == 1);
  CHECK(distance(named.conditional, conditional()) == 0);
  CHECK(distance(named.unconditional, unconditional()) == 0);
  const auto alone = predict_branches(any, x, t, GuidedCondition{Alone{2}, Alone{-1}});
  CHECK(any.inner.calls == 3);
  CHECK(any.inner.samples == 3);
  CHECK(distance(alone.conditional, Linear{}(x, t, Batch::full(Shape{3}, 2))) == 0);
  CHECK(distance(alone.unconditional, Linear{}(x, t, Batch::full(Shape{3}, -1))) == 0);
  const Trainable empty;
  const auto both = predict_branches(empty, x, t, GuidedCondition{Unconditional{}, Unconditional{}});
  CHECK(distance(both.conditional, both.unconditional) == 0);
}

TEST_CASE("guidance commutes with conversion between prediction types") {
  const NoiseTable table = noise_table<ScaledLinear>();
  const Times times{999, 499, 24};
  const std::vector<double> scales{7.5, 3, 1.25};
  const auto c = conditional(), u = unconditional();
  const auto as_v = [&](const Batch& e) { return convert(Discrete<>(table), Velocity{}, x, e, times); };
  const auto as_x0 = [&](const Batch& e) { return convert(Discrete<>(table), X0{}, x, e, times); };
  const auto e = predict_guided(Linear{}, x, t, condition, scales);
  CHECK(distance(as_v(e), guided(as_v(c), as_v(u), scales)) < 1e-10);
  CHECK(distance(as_x0(e), guided(as_x0(c), as_x0(u), scales)) < 1e-10);
}

TEST_CASE("rescaling by 1 restores the condition's deviation, by phi mixes it with the guided one's") {
  // Branches of different spread; Linear's differ by a constant only.
  const Branches<double, Cpu> e{x, numbers::normal<double>(x.shape(), "u")};
  const std::vector<double> scales{7.5, 3, 1};
  std::vector<GuidanceWeights> weights;
  for (const double g : scales) weights.push_back(guidance_weights(g));
  const auto plain = guided(e.conditional, e.unconditional, scales);
  for (const double phi : {0.0, 0.7, 1.0}) {
    const auto factors = rescale_factors(e, sample_weights<double, Cpu>(weights), phi);
    REQUIRE(factors.size() == 3);
    for (std::int64_t b = 0; b < 3; ++b) {
      const double expected = phi * deviation(e.conditional, b) / deviation(plain, b) + 1 - phi;
      CHECK(factors[b] == doctest::Approx(expected).epsilon(1e-12));
    }
  }
  CHECK(deviation(plain, 0) > 1.5 * deviation(e.conditional, 0));
}

TEST_CASE("a rescaled guided prediction has the deviation of the conditional one") {
  // Spread that depends on the condition: the sum with a multiple of other noise.
  struct Spread {
    Batch noise = numbers::normal<double>(x.shape(), "spread");
    Batch operator()(const Batch& at, const Batch&, const Alone& c) const {
      Batch out(at.shape());
      for (std::int64_t i = 0; i < at.size(); ++i) out[i] = at[i] + c.value * noise[i] + 5 * c.value;
      return out;
    }
  };
  const Spread spread;
  const GuidedCondition both{Alone{1}, Alone{0}};
  const std::vector<double> scales(3, 7.5);
  const auto plain = predict_guided(spread, x, t, both, scales), full = predict_guided(spread, x, t, both, scales, 1.0),
             part = predict_guided(spread, x, t, both, scales, 0.7);
  const auto c = spread(x, t, Alone{1});
  for (std::int64_t b = 0; b < 3; ++b) {
    CHECK(deviation(full, b) == doctest::Approx(deviation(c, b)).epsilon(1e-12));
    const double factor = 0.7 * deviation(c, b) / deviation(plain, b) + 0.3;
    for (std::int64_t i = 8 * b; i < 8 * b + 8; ++i)
      CHECK(part[i] == doctest::Approx(factor * plain[i]).epsilon(1e-12));
  }
}

TEST_CASE("a prediction without spread is left as it is by rescaling") {
  const auto flat = Batch::full(Shape{2, 3}, 4);
  const std::vector<GuidanceWeights> weights(2, guidance_weights(5));
  CHECK(rescale_factors(Branches<double, Cpu>{flat, flat}, sample_weights<double, Cpu>(weights), 0.7).to_vector() ==
        std::vector<double>{1, 1});
}
