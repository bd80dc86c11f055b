// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>

#include <hypersd/autograd/functions.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;
using numbers::distance;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();

/// The exact denoiser of unit Gaussian data: eps = sigma x.
struct UnitGaussian {
  template <class T, class Condition>
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, const Condition&) const {
    Tensor<T> out(x.shape());
    const std::int64_t inner = x.size() / x.dim(0);
    for (std::int64_t i = 0; i < x.size(); ++i)
      out[i] = static_cast<T>(table.sigma(static_cast<int>(t[i / inner])) * static_cast<double>(x[i]));
    return out;
  }
};
/// Something uneven, so that no error hides behind linearity.
struct Uneven {
  template <class T, class Condition>
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, const Condition&) const {
    Tensor<T> out(x.shape());
    const std::int64_t inner = x.size() / x.dim(0);
    for (std::int64_t i = 0; i < x.size(); ++i)
      out[i] = std::tanh(x[i]) + static_cast<T>(0.3) * std::sin(x[i] + t[i / inner] / 100);
    return out;
  }
};
struct Wrong {
  Tensor<float> operator()(const Tensor<float>& x, const Tensor<float>&, const Unconditional&) const {
    return Tensor<float>::zeros(Shape{x.dim(0), 1});
  }
};

using DdimSampler = Sampler<Ddim, StableDiffusion>;
using TcdSampler = Sampler<Tcd, StableDiffusion>;
const Unconditional none;

double angle(Time t) { return std::atan2(table.sigma(t), table.alpha(t)); }

}  // namespace

TEST_CASE("on unit Gaussian data a DDIM chain shrinks noise by the product of cosines") {
  const auto noise = numbers::normal<double>(Shape{2, 3}, "noise");
  const auto factor = [&](const Steps& steps) {
    const auto x = DdimSampler()(UnitGaussian{}, noise, none, steps);
    for (std::int64_t i = 1; i < 6; ++i) CHECK(x[i] / noise[i] == doctest::Approx(x[0] / noise[0]).epsilon(1e-12));
    return x[0] / noise[0];
  };
  CHECK(std::abs(factor(1) - 0.0973226436) < 1e-9);
  CHECK(std::abs(factor(4) - 0.7202211704) < 1e-9);
  CHECK(std::abs(factor(8) - 0.8490598819) < 1e-9);
  CHECK(std::abs(factor(40) - 0.9664056630) < 1e-9);
  CHECK(std::abs(factor(50) - 0.9729023806) < 1e-9);
  // Each step turns by the difference of two angles.
  CHECK(factor({800, 399}) == doctest::Approx(std::cos(angle(800) - angle(399)) * std::cos(angle(399) - angle(0))));
}

TEST_CASE("the variance of a stochastic chain is that of independent noise in every step") {
  const auto noise = numbers::normal<float>(Shape{64, 1024}, "noise");
  const auto check = [&](const auto& sampler) {
    sampler(UnitGaussian{}, noise, none, 4, {.seed = 5}, [&, expected = 1.0](int, StepTimes t, const auto& x) mutable {
      const StepCoefficients c = sampler.solver().step(Discrete<>(table), t);
      expected = std::pow(c.x + c.prediction * table.sigma(t.from), 2) * expected + c.noise * c.noise;
      double sum = 0;
      for (std::int64_t i = 0; i < x.size(); ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      const auto n = static_cast<double>(x.size());
      CHECK(std::abs(sum / n / expected - 1) < 4 * std::sqrt(2 / n));
    });
  };
  check(TcdSampler({.eta = 0.3}));
  check(TcdSampler({.eta = 1}));
  check(DdimSampler({.eta = 1}));
  check(Sampler<Lcm, StableDiffusion>());
  check(Sampler<EulerAncestral, StableDiffusion>());
  check(Sampler<EulerAncestral, StableDiffusion>({.eta = 0.5}));
}

TEST_CASE("one step lands on clean data or on the first level") {
  const auto noise = numbers::normal<double>(Shape{2, 3}, "noise");
  const auto eps = Uneven{}(noise, Tensor<double>::full(Shape{2}, 800), none);
  const auto clean = DdimSampler()(Uneven{}, noise, none, {800}, {.end = EndPoint::clean});
  const auto first = DdimSampler()(Uneven{}, noise, none, {800});
  const auto tcd = TcdSampler({.eta = 1})(Uneven{}, noise, none, {800});
  for (std::int64_t i = 0; i < 6; ++i) {
    const double x0 = (noise[i] - table.sigma(800) * eps[i]) / table.alpha(800);
    CHECK(clean[i] == doctest::Approx(x0).epsilon(1e-12));
    CHECK(first[i] == doctest::Approx(table.alpha(0) * x0 + table.sigma(0) * eps[i]).epsilon(1e-12));
    CHECK(tcd[i] == first[i]);
  }
}

TEST_CASE("a plan evaluates at the listed times and steps to the next one, the last to the end point") {
  const auto times_of = [](const auto& planned) {
    std::vector<std::pair<Time, Time>> out;
    for (const PlannedStep& p : planned) out.push_back({p.times.from, p.times.to});
    return out;
  };
  using Pairs = std::vector<std::pair<Time, Time>>;
  const DdimSampler sampler({.eta = 0.5});
  CHECK(times_of(sampler.plan(3)) == Pairs{{999, 666}, {666, 332}, {332, 0}});
  CHECK(times_of(sampler.plan(3, {.end = EndPoint::clean})) == Pairs{{999, 666}, {666, 332}, {332, -1}});
  CHECK(times_of(sampler.plan({800})) == Pairs{{800, 0}});
  // diffusers' next time is t - floor(T / n), whatever the list says.
  CHECK(times_of(sampler.plan(3, {.diffusers_prev = true})) == Pairs{{999, 666}, {666, 333}, {332, 0}});
  CHECK(times_of(sampler.plan(6, {.end = EndPoint::clean, .diffusers_prev = true})).back() ==
        std::pair<Time, Time>{166, 0});
  CHECK(times_of(sampler.plan(linspace(1000, 4), {.end = EndPoint::clean, .diffusers_prev = true})) ==
        Pairs{{999, 749}, {666, 416}, {333, 83}, {0, -1}});
  const auto planned = sampler.plan(2);
  CHECK(!planned[0].times.last);
  CHECK(planned[1].times.last);
  const StepCoefficients c = Ddim{{0.5}}.step(Discrete<>(table), {999, 499});
  REQUIRE(planned[0].evaluations.size() == 1);
  const Evaluation& e = planned[0].evaluations[0];
  CHECK(e.time == 999);
  CHECK(e.update.x == c.x);
  CHECK(e.update.prediction == c.prediction);
  CHECK(e.update.noise == c.noise);
  CHECK(e.update.memory == std::array<double, kMemories>{});
  CHECK(e.remember.empty());
}

TEST_CASE("TCD with eta 0 draws what DDIM draws, bit for bit") {
  const auto noise = numbers::normal<float>(Shape{3, 5}, "noise");
  for (const Steps& steps : {Steps(4), Steps({800}), Steps(origin_grid(1000, 6))})
    CHECK(TcdSampler({.eta = 0})(Uneven{}, noise, none, steps).to_vector() ==
          DdimSampler()(Uneven{}, noise, none, steps).to_vector());
}

TEST_CASE("the seed decides, and only where noise is injected") {
  const auto noise = numbers::normal<float>(Shape{3, 5}, "noise");
  const TcdSampler sampler;
  const auto draw = [&](std::uint64_t seed) { return sampler(Uneven{}, noise, none, 4, {.seed = seed}).to_vector(); };
  CHECK(draw(1) == draw(1));
  CHECK(draw(1) != draw(2));
  const auto single = [&](std::uint64_t seed) { return sampler(Uneven{}, noise, none, 1, {.seed = seed}).to_vector(); };
  CHECK(single(1) == single(2));
}

TEST_CASE("a batch drawn in parts or by other threads gives the same numbers") {
  const auto noise = numbers::normal<float>(Shape{7, 3, 5}, "noise");
  const TcdSampler sampler({.eta = 0.8});
  const auto whole = sampler(Uneven{}, noise, none, 4, {.seed = 3});
  for (const std::int64_t cut : {1, 4}) {
    const auto head = sampler(Uneven{}, noise.slice(0, cut), none, 4, {.seed = 3});
    const auto tail = sampler(Uneven{}, noise.slice(cut, 7), none, 4, {.seed = 3, .first_sample = cut});
    CHECK(head.to_vector() == whole.slice(0, cut).to_vector());
    CHECK(tail.to_vector() == whole.slice(cut, 7).to_vector());
  }
  // Without its number the tail gets other noise.
  CHECK(sampler(Uneven{}, noise.slice(4, 7), none, 4, {.seed = 3}).to_vector() != whole.slice(4, 7).to_vector());
  const auto large = numbers::normal<float>(Shape{9, 20011}, "large");
  CHECK(numbers::same_for_any_threads([&] { return sampler(Uneven{}, large, none, 4); }));
}

TEST_CASE("the caller's noise stays and every step is observed and reported") {
  const auto noise = numbers::normal<float>(Shape{2, 3}, "noise");
  const auto before = noise.to_vector();
  std::vector<ProgressEvent> events;
  std::vector<std::pair<Time, Time>> seen;
  std::vector<float> last;
  const SampleOptions options{.progress = [&](const ProgressEvent& e) { events.push_back(e); }};
  const auto out = DdimSampler()(Uneven{}, noise, none, 3, options, [&](int i, StepTimes t, const auto& x) {
    CHECK(i == static_cast<int>(seen.size()));
    CHECK(t.last == (i == 2));
    // The step is reported after it was shown.
    CHECK(events.size() == seen.size() + 1);
    seen.push_back({t.from, t.to});
    last = x.to_vector();
  });
  CHECK(noise.to_vector() == before);
  CHECK(last == out.to_vector());
  CHECK(seen == std::vector<std::pair<Time, Time>>{{999, 666}, {666, 332}, {332, 0}});
  REQUIRE(events.size() == 4);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(events[i].phase == "sample");
    CHECK(events[i].step == static_cast<std::int64_t>(i));
    CHECK(events[i].total == 3);
    CHECK(!events[i].loss);
  }
}

TEST_CASE("at zero terminal SNR a velocity model starts from pure noise") {
  // Data that is one point, 0.7: v = (alpha x - x0) / sigma, and every step must land on its level about that point.
  const NoiseTable zero = noise_table<ZeroTerminalSnr<>>();
  const auto net = [&](const Tensor<double>& x, const Tensor<double>& t, const Unconditional&) {
    const Level l = zero.level(static_cast<int>(t[0]));
    return ops::map(ops::Affine<double>{l.alpha / l.sigma, -0.7 / l.sigma}, x);
  };
  const auto noise = numbers::normal<double>(Shape{2, 3}, "noise");
  const Sampler<Ddim, Process<ZeroTerminalSnr<>, Velocity>> sampler;
  sampler(net, noise, none, 4, {}, [&](int, StepTimes t, const auto& x) {
    for (std::int64_t i = 0; i < 6; ++i)
      CHECK(std::abs(x[i] - zero.alpha(t.to) * 0.7 - zero.sigma(t.to) * noise[i]) < 1e-12);
  });
  const auto clean = sampler(net, noise, none, 1, {.end = EndPoint::clean});
  CHECK(distance(clean, Tensor<double>::full(noise.shape(), 0.7)) < 1e-12);
}

TEST_CASE("calls that cannot work are refused with their fault") {
  const auto noise = numbers::normal<float>(Shape{2, 3}, "noise");
  const DdimSampler sampler;
  const auto refuses = [&](const Steps& steps, const SampleOptions& options, const char* part) {
    CAPTURE(part);
    CHECK_THROWS_WITH_AS(sampler(Uneven{}, noise, none, steps, options), doctest::Contains(part), OptionError);
  };
  refuses(0, {}, "number of steps 0");
  refuses(1001, {}, "number of steps 1001");
  refuses(Times{}, {}, "empty list");
  refuses({499, 999}, {}, "999 follows 499");
  refuses({1000}, {}, "time step 1000");
  refuses(2, {.guidance = {3, 3}}, "NoGuidance");
  CHECK_THROWS_WITH_AS(TcdSampler()(Uneven{}, noise, none, 2, {.first_sample = -1}), doctest::Contains("offset -3"),
                       OptionError);
  CHECK_THROWS_WITH_AS(sampler(Wrong{}, noise, none, 2), doctest::Contains("[2, 1]"), ShapeError);
  CHECK_THROWS_AS(sampler(Uneven{}, Tensor<float>::zeros(Shape{0, 3}), none, 2), ShapeError);
  CHECK_THROWS_AS(sampler(Uneven{}, Tensor<float>::zeros(Shape{}), none, 2), ShapeError);
  CHECK_THROWS_AS(TcdSampler({.eta = 2})(Uneven{}, noise, none, 1), OptionError);
  CHECK_THROWS_AS(DdimSampler({}, ScaledLinear{{.train_steps = 0}}), OptionError);
}
