// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace hypersd;
using namespace hypersd::diffusion;
using numbers::distance;

namespace {

using Batch = Tensor<double>;

const NoiseTable table = noise_table<ScaledLinear>();

/// A denoiser whose deviation and mean depend on the condition; it records the sizes of its batches.
struct Net {
  mutable std::vector<std::int64_t> asked{};
  Batch operator()(const Batch& x, const Batch& t, const Batch& c) const {
    asked.push_back(x.dim(0));
    Batch out(x.shape());
    const std::int64_t inner = x.size() / x.dim(0);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double k = c[i / inner];
      out[i] = std::sin((1 + k) * x[i]) + 0.1 * k + t[i / inner] / 4000;
    }
    return out;
  }
};
/// The same with a null condition.
struct NullNet : Net {
  [[nodiscard]] Batch null_condition(const Batch& c) const { return Batch::full(c.shape(), -0.5); }
};

using Plain = Sampler<Ddim, StableDiffusion>;
using Guided = Sampler<Ddim, StableDiffusion, ClassifierFree>;

const Batch noise = numbers::normal<double>(Shape{3, 8}, "noise");
const GuidedCondition<Batch> condition{Batch::from(Shape{3}, {1, 2, 0.5}), Batch::full(Shape{3}, -0.5)};

/// A chain as the formulas have it: the guided prediction of each sample first, then the jump.
Batch by_hand(const std::vector<double>& scales, double rescale, const Times& times) {
  Batch x = noise.clone();
  const std::int64_t inner = x.size() / x.dim(0);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const Batch t = Batch::full(Shape{3}, times[i]);
    const Batch c = Net{}(x, t, condition.conditional), u = Net{}(x, t, condition.null);
    const Level from = table.level(times[i]), to = table.level(i + 1 < times.size() ? times[i + 1] : 0);
    for (std::int64_t b = 0; b < 3; ++b) {
      const double g = scales[static_cast<std::size_t>(b)];
      std::vector<double> e;
      double mean = 0, mean_c = 0, square = 0, square_c = 0;
      for (std::int64_t j = b * inner; j < (b + 1) * inner; ++j) {
        e.push_back(g <= 1 ? c[j] : u[j] + g * (c[j] - u[j]));
        mean += e.back() / static_cast<double>(inner);
        mean_c += c[j] / static_cast<double>(inner);
      }
      for (std::int64_t j = 0; j < inner; ++j) {
        square += std::pow(e[static_cast<std::size_t>(j)] - mean, 2);
        square_c += std::pow(c[b * inner + j] - mean_c, 2);
      }
      const double factor = rescale * std::sqrt(square_c / square) + 1 - rescale;
      for (std::int64_t j = 0; j < inner; ++j) {
        double& at = x[b * inner + j];
        const double eps = factor * e[static_cast<std::size_t>(j)];
        at = to.alpha * (at - from.sigma * eps) / from.alpha + to.sigma * eps;
      }
    }
  }
  return x;
}

}  // namespace

TEST_CASE("a guided chain is that of the guided prediction") {
  const auto x = Guided({}, {}, {.scale = 3})(Net{}, noise, condition, {999, 499, 249});
  CHECK(distance(x, by_hand({3, 3, 3}, 0, {999, 499, 249})) < 1e-9);
  CHECK(ClassifierFree{}.options.scale == 7.5);
  CHECK(ClassifierFree{}.options.rescale == 0);
  CHECK(distance(Guided()(Net{}, noise, condition, {800}), by_hand({7.5, 7.5, 7.5}, 0, {800})) < 1e-9);
}

TEST_CASE("every sample may have its own scale") {
  const std::vector<double> scales{1, 4, 2.5};
  const auto x = Guided()(Net{}, noise, condition, {999, 499, 249}, {.guidance = scales});
  CHECK(distance(x, by_hand(scales, 0, {999, 499, 249})) < 1e-9);
  // The sample of scale 1 is the conditional one to the last bit.
  const auto plain = Plain()(Net{}, noise, condition.conditional, {999, 499, 249});
  CHECK(x.slice(0, 1).to_vector() == plain.slice(0, 1).to_vector());
}

TEST_CASE("rescaled guidance is that of the rescaled prediction") {
  const auto full = Guided({}, {}, {.scale = 5, .rescale = 1})(Net{}, noise, condition, {999, 499});
  CHECK(distance(full, by_hand({5, 5, 5}, 1, {999, 499})) < 1e-9);
  const std::vector<double> scales{2, 1, 6};
  const auto mixed = Guided({}, {}, {.rescale = 0.7})(Net{}, noise, condition, {999, 499}, {.guidance = scales});
  CHECK(distance(mixed, by_hand(scales, 0.7, {999, 499})) < 1e-9);
}

TEST_CASE("scales of at most 1 evaluate the conditional branch only, with or without rescaling") {
  const auto plain = Plain()(Net{}, noise, condition.conditional, 4);
  for (const double g : {1.0, 0.0, -2.0})
    for (const double rescale : {0.0, 0.7}) {
      const Net net;
      CHECK(Guided({}, {}, {g, rescale})(net, noise, condition, 4).to_vector() == plain.to_vector());
      CHECK(net.asked == std::vector<std::int64_t>(4, 3));
    }
  const Net net;
  Guided()(net, noise, condition, 4);
  CHECK(net.asked == std::vector<std::int64_t>(4, 6));  // one call for both branches
}

TEST_CASE("equal branches need no guidance, whatever the scale") {
  const GuidedCondition<Batch> same{condition.conditional, condition.conditional};
  const auto plain = Plain()(Net{}, noise, condition.conditional, {999, 499});
  CHECK(distance(Guided()(Net{}, noise, same, {999, 499}), plain) < 1e-9);
}

TEST_CASE("the null condition may come from the denoiser") {
  const auto given = Guided()(Net{}, noise, condition, 2);
  CHECK(Guided()(NullNet{}, noise, condition.conditional, 2).to_vector() == given.to_vector());
}

TEST_CASE("without a guidance policy a guided condition counts as its condition") {
  const Net net;
  const auto plain = Plain()(Net{}, noise, condition.conditional, 2);
  CHECK(Plain()(net, noise, condition, 2).to_vector() == plain.to_vector());
  CHECK(net.asked == std::vector<std::int64_t>(2, 3));
}

TEST_CASE("a guided batch drawn in parts gives the same numbers") {
  const Sampler<Tcd, StableDiffusion, ClassifierFree> sampler({.eta = 0.8}, {}, {.rescale = 0.5});
  const std::vector<double> scales{2, 1.5, 6};
  const auto whole = sampler(Net{}, noise, condition, 4, {.seed = 9, .guidance = scales});
  for (std::int64_t b = 0; b < 3; ++b) {
    const GuidedCondition<Batch> own{condition.conditional.slice(b, b + 1), condition.null.slice(b, b + 1)};
    const SampleOptions options{.seed = 9, .guidance = {scales[static_cast<std::size_t>(b)]}, .first_sample = b};
    CHECK(sampler(Net{}, noise.slice(b, b + 1), own, 4, options).to_vector() == whole.slice(b, b + 1).to_vector());
  }
}

TEST_CASE("scales that do not fit are refused") {
  CHECK_THROWS_WITH_AS(Guided()(Net{}, noise, condition, 2, {.guidance = {2, 3}}),
                       doctest::Contains("2 guidance scales for 3 samples"), OptionError);
  const double infinite = std::numeric_limits<double>::infinity();
  CHECK_THROWS_WITH_AS(Guided({}, {}, {.scale = infinite})(Net{}, noise, condition, 2),
                       doctest::Contains("guidance scale inf"), OptionError);
  CHECK_THROWS_AS(Guided()(Net{}, noise, condition, 2, {.guidance = {2, std::nan(""), 3}}), OptionError);
}

TEST_CASE("a rescale outside [0, 1] is refused") {
  for (const double phi : {-0.1, 1.5}) {
    const Guided sampler({}, {}, {.scale = 2, .rescale = phi});
    CHECK_THROWS_WITH_AS(sampler(Net{}, noise, condition, 2), doctest::Contains("rescale = "), OptionError);
  }
}
