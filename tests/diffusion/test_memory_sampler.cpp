// SPDX-License-Identifier: Apache-2.0
// The sampler with multistep solvers and with several evaluations per step.
#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

using Batch = Tensor<double>;

/// A nonlinear denoiser that depends on the condition and records the times of its evaluations.
struct Net {
  mutable std::vector<int> asked{};
  template <class T>
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, const Tensor<T>& c) const {
    asked.push_back(static_cast<int>(t[0]));
    Tensor<T> out(x.shape());
    const std::int64_t inner = x.size() / x.dim(0);
    for (std::int64_t i = 0; i < x.size(); ++i)
      out[i] = std::sin((1 + c[i / inner]) * x[i]) + c[i / inner] / 10 + t[i / inner] / 4000;
    return out;
  }
};
/// The guided prediction as one network.
struct GuidedNet {
  std::vector<double> scales;
  double rescale = 0;
  Batch operator()(const Batch& x, const Batch& t, const GuidedCondition<Batch>& c) const {
    return predict_guided(Net{}, x, t, c, scales, rescale);
  }
};
/// Keeps a guided condition from being taken apart.
struct Whole {
  GuidedNet net;
  GuidedCondition<Batch> condition;
  Batch operator()(const Batch& x, const Batch& t, const Unconditional&) const { return net(x, t, condition); }
};
/// Leaves the difference of the noise of two evaluations of one step.
struct Noisy {
  struct Options {};
  static constexpr const char* name = "noisy";
  static constexpr bool stochastic = true;
  Options options{};
  template <DiffusionProcess P>
  [[nodiscard]] std::vector<Evaluation> evaluations(const P&, StepTimes t, std::span<const StepTimes>) const {
    return {{t.from, {0, 0, 1}, {}}, {t.from, {0, 0, 1}, {{1}}}, {t.from, {1, 0, 0, {-1}}, {}}};
  }
};
/// Reads a memory that is not there.
struct Forgetful {
  struct Options {};
  static constexpr const char* name = "forgetful";
  static constexpr bool stochastic = false;
  Options options{};
  template <DiffusionProcess P>
  [[nodiscard]] std::vector<Evaluation> evaluations(const P&, StepTimes t, std::span<const StepTimes>) const {
    return {{t.from, {1, 0, 0, {0.5}}, {}}};
  }
};

const Batch noise = numbers::normal<double>(Shape{3, 8}, "noise");
const GuidedCondition<Batch> condition{Batch::from(Shape{3}, {1, 2, 0.5}), Batch::full(Shape{3}, -0.5)};

}  // namespace

TEST_CASE_TEMPLATE("guidance joins the branches before they are remembered", S, Heun, DpmPp2M, Euler) {
  const Sampler<S, StableDiffusion, ClassifierFree> guided({}, {}, {.rescale = 0.7});
  const Sampler<S, StableDiffusion> plain;
  const std::vector<double> scales{1, 4, 2.5};
  const auto x = guided(Net{}, noise, condition, {999, 499, 249}, {.guidance = scales});
  const Whole whole{{scales, 0.7}, condition};
  CHECK(numbers::distance(x, plain(whole, noise, Unconditional{}, {999, 499, 249})) < 1e-9);
  // Scales of at most 1 ask for the condition alone.
  const Sampler<S, StableDiffusion, ClassifierFree> none({}, {}, {.scale = 1, .rescale = 0.7});
  CHECK(none(Net{}, noise, condition, 4).to_vector() == plain(Net{}, noise, condition.conditional, 4).to_vector());
}

TEST_CASE("Heun evaluates twice per step, DPM-Solver++ once, and a step is observed and reported once") {
  const auto check = [](const auto& sampler, const std::vector<int>& asked) {
    const Net net;
    const auto before = noise.to_vector();
    std::vector<std::int64_t> events;
    std::vector<double> last;
    int seen = 0;
    const SampleOptions options{.end = EndPoint::clean,
                                .progress = [&](const ProgressEvent& e) { events.push_back(e.step); }};
    const auto x = sampler(net, noise, condition.conditional, 3, options, [&](int i, StepTimes, const Batch& state) {
      CHECK(i == seen++);
      last = state.to_vector();
    });
    CHECK(net.asked == asked);
    CHECK(seen == 3);
    CHECK(events == std::vector<std::int64_t>{0, 1, 2, 3});
    CHECK(noise.to_vector() == before);
    CHECK(x.to_vector() == last);
  };
  check(Sampler<Heun, StableDiffusion>(), {999, 666, 666, 332, 332});
  check(Sampler<DpmPp2M, StableDiffusion>(), {999, 666, 332});
  const auto planned = Sampler<Heun, StableDiffusion>().plan(2);
  CHECK(planned[0].evaluations.size() == 2);
  CHECK(planned[1].evaluations.size() == 2);  // the end is the first level, where a slope is defined
  CHECK(planned[1].evaluations[1].time == 0);
}

TEST_CASE_TEMPLATE("a batch drawn in parts or by other threads gives the same numbers", S, Heun, DpmPp2M, Lcm) {
  const Sampler<S, StableDiffusion> sampler;
  const auto& c = condition.conditional;
  const auto whole = sampler(Net{}, noise, c, 4, {.seed = 3});
  for (std::int64_t b = 0; b < 3; ++b) {
    const auto own = sampler(Net{}, noise.slice(b, b + 1), c.slice(b, b + 1), 4, {.seed = 3, .first_sample = b});
    CHECK(own.to_vector() == whole.slice(b, b + 1).to_vector());
  }
  const auto large = numbers::normal<float>(Shape{9, 20011}, "large");
  const auto labels = Tensor<float>::full(Shape{9}, 1);
  CHECK(numbers::same_for_any_threads([&] { return sampler(Net{}, large, labels, 4); }));
}

TEST_CASE_TEMPLATE("on data that is one point every list of times lands on its levels", S, Euler, Heun, DpmPp2M) {
  const auto check = [](const auto& sampler, const auto& net, const Steps& steps) {
    const auto& levels = sampler.process();
    for (const EndPoint end : {EndPoint::first_entry, EndPoint::clean})
      sampler(net, noise, Unconditional{}, steps, {.end = end}, [&](int, StepTimes t, const auto& x) {
        const Level from = levels.level(steps.times(levels)[0]), to = levels.level(t.to);
        for (std::int64_t i = 0; i < x.size(); ++i) {
          const double eps = (noise[i] - from.alpha * 0.7) / from.sigma;
          CHECK(std::abs(x[i] - to.alpha * 0.7 - to.sigma * eps) < 1e-11);
        }
      });
  };
  const auto point = [](const Batch& x, const Batch&, const Unconditional&) { return Batch::full(x.shape(), 0.7); };
  const NoiseTable zero = noise_table<ZeroTerminalSnr<>>();
  const auto velocity = [&](const Batch& x, const Batch& t, const Unconditional&) {
    const Level l = zero.level(static_cast<int>(t[0]));
    return ops::map(ops::Affine<double>{l.alpha / l.sigma, -0.7 / l.sigma}, x);
  };
  for (const Steps& steps : {Steps(1), Steps(4), Steps({800}), Steps({980, 700, 333, 10, 9}), Steps({500, 0})}) {
    check(Sampler<S, Process<ScaledLinear, X0>>(), point, steps);
    check(Sampler<S, Process<ZeroTerminalSnr<>, Velocity>>(), velocity, steps);
  }
}

TEST_CASE("evaluations of one step have noise of their own") {
  const Net net;
  // The first noise is remembered; x becomes the second less the first.
  const auto x = Sampler<Noisy, StableDiffusion>()(net, noise, condition.conditional, 1, {.seed = 7});
  double squares = 0;
  for (const double v : x.to_vector()) squares += v * v;
  CHECK(squares > 1);
}

TEST_CASE("a memory that no step has written is refused") {
  const Sampler<Forgetful, StableDiffusion> sampler;
  CHECK_THROWS_WITH_AS(sampler(Net{}, noise, condition.conditional, 2),
                       doctest::Contains("forgetful reads a memory that no step has written"), OptionError);
  const Batch out(noise.shape());
  const std::vector<StepCoefficients> c(3, {1, 0, 0, {0.5}});
  CHECK_THROWS_WITH_AS(apply_step_into(out, c, noise, noise, Stream{}), doctest::Contains("memory"), OptionError);
  apply_step_into(out, c, noise, noise, Stream{}, 0, noise);
  for (std::int64_t i = 0; i < out.size(); ++i) CHECK(out[i] == 1.5 * noise[i]);
}
