// SPDX-License-Identifier: Apache-2.0
#include <hypersd/feedback/hinge.hpp>

#include <hypersd/diffusion/denoiser.hpp>
#include <limits>

#include "golden.hpp"

using namespace hypersd;
using namespace hypersd::feedback;
using diffusion::Unconditional;

namespace {

/// The sum of a picture's numbers.
struct Brightness {
  Var<double> operator()(const Var<double>& images, const Unconditional&) const {
    return autograd::sum_to_samples(images);
  }
};
struct Detached {
  Var<double> operator()(const Var<double>& images, const Unconditional&) const {
    return autograd::sum_to_samples(images.detach());
  }
};
struct OneForAll {
  Var<double> operator()(const Var<double>& images, const Unconditional&) const { return autograd::sum(images); }
};
static_assert(Reward<Brightness, double, Cpu, Unconditional>);
static_assert(!Reward<int, double, Cpu, Unconditional>);

Var<double> pictures(std::initializer_list<double> values) {
  return Var<double>(Tensor<double>::from(Shape{static_cast<std::int64_t>(values.size()), 1, 1, 1}, values), true);
}

}  // namespace

TEST_CASE("Hinge, Eq 13: reward 0.5, alpha 2, weight 1e-3 cost 1.5e-3; from alpha on the gradient is zero") {
  const Hinge hinge{Brightness{}};
  CHECK(hinge(pictures({0.5}), Unconditional{}).loss.item() == doctest::Approx(1.5e-3).epsilon(1e-12));
  const auto x = pictures({0.5, 2, 3, 1});
  const auto result = hinge(x, Unconditional{});
  CHECK(result.loss.item() == doctest::Approx(1e-3 * (1.5 + 1) / 4).epsilon(1e-12));
  CHECK(result.diagnostic("reward") == 1.625);
  CHECK(result.diagnostic("reward.below") == 0.5);
  CHECK_THROWS_WITH_AS((void)result.diagnostic("rewards"), doctest::Contains("no diagnostic called 'rewards'"),
                       OptionError);
  autograd::backward(result.loss);
  CHECK(x.grad()[0] == doctest::Approx(-2.5e-4).epsilon(1e-12));
  CHECK(x.grad()[1] == 0);
  CHECK(x.grad()[2] == 0);
  CHECK(x.grad()[3] == doctest::Approx(-2.5e-4).epsilon(1e-12));
}

TEST_CASE("Hinges are summed, each with its alpha, weight and diagnostics") {
  const Hinge one{Brightness{}, 2.0, 1e-3, "a"}, two{Brightness{}, 6.5, 0.5, "b"};
  const auto x = pictures({0.5, 4});
  const auto loss = [&](const auto& h) { return h(x, Unconditional{}).loss.item(); };
  const Hinges both(one, two);
  CHECK(loss(both) == doctest::Approx(loss(one) + loss(two)).epsilon(1e-14));
  CHECK(loss(Hinges(one, two, one)) == doctest::Approx(2 * loss(one) + loss(two)).epsilon(1e-14));
  CHECK(loss(Hinges(one)) == loss(one));
  const auto result = both(x, Unconditional{});
  REQUIRE(result.diagnostics.size() == 4);
  CHECK(result.diagnostics[1].first == "a.below");
  CHECK(result.diagnostic("a.below") == 0.5);
  CHECK(result.diagnostic("b.below") == 1);
}

TEST_CASE("A reward of another shape, without gradient or without a number is refused") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(Hinge{OneForAll{}}(pictures({1, 2}), Unconditional{}), ShapeError);
  CHECK_THROWS_AS(Hinge{Brightness{}}(pictures({1, nan}), Unconditional{}), NumericError);
  CHECK_THROWS_AS((Hinge{Brightness{}, nan}(pictures({1}), Unconditional{})), OptionError);
  CHECK_THROWS_AS((Hinge{Brightness{}, 1.0, -1.0}(pictures({1}), Unconditional{})), OptionError);
  CHECK_THROWS_WITH_AS(Hinge{Detached{}}(pictures({1}), Unconditional{}), doctest::Contains("no gradient"), Error);
  const autograd::NoGrad guard;  // where nothing is recorded, nothing is missing
  CHECK_NOTHROW(Hinge{Detached{}}(pictures({1}), Unconditional{}));
}
