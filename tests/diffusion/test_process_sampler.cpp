// SPDX-License-Identifier: Apache-2.0
// The sampler on continuous processes, and what it can do on any: fractional times, Karras grids, noise from outside,
// clipped data.
#include <hypersd/diffusion/sampler.hpp>

#include <hypersd/diffusion/elementwise.hpp>
#include <hypersd/diffusion/evaluate.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/dpmpp_3m.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>

#include "diffusion/follow.hpp"
#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;
using numbers::distance;

namespace {

constexpr double m = 0.3, c = 0.5;
const Mixture gaussian({{1, {m}, c}}), mixture({{1, {-1}, 0.4}, {2, {1}, 0.5}});
const Unconditional none;

/// A network that is asked, not computed in a step.
template <class Process>
struct Asked {
  IndependentDenoiser<Process> net;
  template <class T>
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, const Unconditional& condition) const {
    return net(x, t, condition);
  }
};
template <class Process>
Asked<Process> plain(const IndependentDenoiser<Process>& net) {
  return {net};
}

struct Moments {
  double mean = 0, variance = 0;
};
template <class T>
Moments moments(const Tensor<T>& x) {
  Moments out;
  for (std::int64_t i = 0; i < x.size(); ++i) out.mean += static_cast<double>(x[i]);
  out.mean /= static_cast<double>(x.size());
  for (std::int64_t i = 0; i < x.size(); ++i) out.variance += std::pow(static_cast<double>(x[i]) - out.mean, 2);
  out.variance /= static_cast<double>(x.size());
  return out;
}

}  // namespace

TEST_CASE("EDM's sampler: Heun on its grid, to clean data, from noise of deviation sigma_max") {
  const Edm edm;
  const IndependentDenoiser<Edm> net(edm, gaussian);
  const Times grid = karras_grid(edm, 18);
  REQUIRE(grid.size() == 18);
  CHECK(grid.front() == 80);
  CHECK(grid.back() == 0.002);
  for (std::size_t i = 0; i < 18; ++i) {
    const double low = std::pow(0.002, 1 / 7.0), high = std::pow(80, 1 / 7.0), share = static_cast<double>(i) / 17;
    CHECK(grid[i] == doctest::Approx(std::pow(high + share * (low - high), 7)).epsilon(1e-12));
  }
  const auto noise = numbers::normal<double>(Shape{4, 256}, "edm");
  const Sampler<Heun, Edm> sampler;
  const SampleOptions clean{.end = EndPoint::clean};
  const auto x = sampler(net, noise, none, grid, clean);
  const auto error = [&](const Tensor<double>& got) {
    double worst = 0;
    for (std::int64_t i = 0; i < got.size(); ++i)
      worst = std::max(worst, std::abs(got[i] - m - c / std::hypot(c, 80.0) * (80 * noise[i] - m)));
    return worst;
  };
  CHECK(error(x) < 0.1);
  CHECK(error(sampler(net, noise, none, karras_grid(edm, 36), clean)) < error(x) / 3.5);
  CHECK(distance(x, sampler(plain(net), noise, none, grid, clean)) < 1e-10);  // through c_in and c_noise
  // What the network is given first is c_in sigma_max z at ln(sigma_max) / 4.
  int calls = 0;
  const auto listens = [&](const Tensor<double>& input, const Tensor<double>& t, const Unconditional&) {
    if (calls++ == 0) {
      CHECK(t[0] == doctest::Approx(std::log(80) / 4).epsilon(1e-14));
      for (std::int64_t i = 0; i < input.size(); ++i)
        CHECK(input[i] == doctest::Approx(80 / std::hypot(80, 0.5) * noise[i]).epsilon(1e-13));
    }
    return Tensor<double>::zeros(input.shape());
  };
  sampler(listens, noise, none, grid, clean);
  CHECK(calls == 35);  // no second slope at clean data
}

TEST_CASE("sampling begins with noise of the process's scale, unless it is told not to") {
  const auto noise = numbers::normal<double>(Shape{2, 8}, "noise");
  const auto first = [&](const auto& process, const Steps& steps, bool scale) {
    Tensor<double> seen;
    const auto net = [&](const Tensor<double>& x, const Tensor<double>&, const Unconditional&) {
      if (!seen.defined()) seen = x.clone();
      return Tensor<double>::zeros(x.shape());
    };
    Sampler<Ddim, std::decay_t<decltype(process)>>({}, process)(net, noise, none, steps, {.scale_noise = scale});
    return seen[3] / noise[3];
  };
  CHECK(first(Flow{}, 4, true) == 1);
  CHECK(first(Flow{}, {0.25}, true) == doctest::Approx(0.25));
  CHECK(first(Flow{}, {0.25}, false) == 1);
  CHECK(first(StableDiffusion{}, {500}, true) == 1);
  CHECK(first(Trig{}, 4, true) == doctest::Approx(std::sin(std::atan(160.0))).epsilon(1e-14));  // 1/s of sin(t) s
  CHECK(first(Edm{}.with(Epsilon{}), 4, true) == 80);
}

TEST_CASE("Karras grids are fractional times of a table") {
  const StableDiffusion process;
  const Times grid = karras_grid(process, 10);
  CHECK(grid.front() == 999);
  CHECK(grid.back() == 0);
  const auto level = [&](Time t) { return std::pow(process.sigma(t) / process.alpha(t), 1 / 7.0); };
  for (std::size_t i = 1; i + 1 < grid.size(); ++i) {
    CHECK(grid[i] != std::floor(grid[i]));
    CHECK(level(grid[i]) == doctest::Approx(level(999) + static_cast<double>(i) / 9 * (level(0) - level(999))));
  }
  CHECK(karras_grid(process, 1) == Times{999});
  CHECK_THROWS_WITH_AS(karras_grid(Flow{}, 4), doctest::Contains("must be finite and positive"), NumericError);
  CHECK_THROWS_AS(karras_grid(Process<ZeroTerminalSnr<>, Velocity>{}, 4), NumericError);
  CHECK_THROWS_WITH_AS(karras_grid(process, 0), doctest::Contains("Karras grid: 0 steps"), OptionError);
  // Heun is of second order on it.
  const IndependentDenoiser<StableDiffusion> net(process, gaussian);
  const auto noise = numbers::normal<double>(Shape{1, 64}, "karras");
  const auto error = [&](const Steps& steps) {
    const auto x = Sampler<Heun, StableDiffusion>()(net, noise, none, steps);
    const auto deviation = [&](Time t) { return std::hypot(process.alpha(t) * c, process.sigma(t)); };
    double worst = 0;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const double exact = process.alpha(0) * m + deviation(0) / deviation(999) * (noise[i] - process.alpha(999) * m);
      worst = std::max(worst, std::abs(x[i] - exact));
    }
    return worst;
  };
  CHECK(error(karras_grid(process, 20)) < error(grid) / 3.5);
}

TEST_CASE("fractional times of a table pass into the whole ones") {
  const auto noise = numbers::normal<double>(Shape{2, 16}, "noise");
  const IndependentDenoiser<StableDiffusion> net(StableDiffusion{}, mixture);
  const Sampler<Ddim, StableDiffusion> sampler;
  const auto whole = sampler(net, noise, none, {999, 500, 250});
  CHECK(distance(sampler(net, noise, none, {999, 500 + 1e-9, 250 - 1e-9}), whole) < 1e-9);
  CHECK(sampler(net, noise, none, {999.0, 500.0, 250.0}).to_vector() == whole.to_vector());
  const double moved = distance(sampler(net, noise, none, {999, 500.5, 250}), whole);
  CHECK(moved > 1e-6);
  CHECK(moved < distance(sampler(net, noise, none, {999, 501, 250}), whole));
  CHECK_THROWS_WITH_AS(sampler(net, noise, none, {999.5, 500}), doctest::Contains("time step 999.5 is not in"),
                       OptionError);
}

TEST_CASE_TEMPLATE("noise given from outside is the drawn noise, bit for bit", T, float, double) {
  const auto check = [](const auto& sampler, const auto& net, const Steps& steps) {
    const auto noise = numbers::normal<T>(Shape{3, 40}, "noise");
    const SampleOptions options{.seed = 11};
    std::vector<Tensor<T>> given;
    for (std::size_t i = 0; i < sampler.plan(steps).size(); ++i)
      given.push_back(ops::normal<T>(noise.shape(), solver_noise(11, i, 0)));
    const auto drawn = sampler(net, noise, none, steps, options);
    CHECK(sampler.with_noise(net, noise, given, none, steps, options).to_vector() == drawn.to_vector());
    given[0] = given[0].clone();
    given[0][0] += T(1);
    CHECK(sampler.with_noise(net, noise, given, none, steps, options).to_vector() != drawn.to_vector());
    // The last step injects none and needs none.
    given[0][0] -= T(1);
    given.pop_back();
    CHECK_NOTHROW((void)sampler.with_noise(net, noise, given, none, steps, options));
    given.clear();
    CHECK_THROWS_WITH_AS((void)sampler.with_noise(net, noise, given, none, steps, options),
                         doctest::Contains("0 tensors of noise are given; step 1 needs another"), OptionError);
    given.assign(4, Tensor<T>(Shape{3, 2}));
    CHECK_THROWS_AS((void)sampler.with_noise(net, noise, given, none, steps, options), ShapeError);
  };
  const IndependentDenoiser<StableDiffusion> net(StableDiffusion{}, mixture);
  check(Sampler<Tcd, StableDiffusion>(), net, 4);
  check(Sampler<Tcd, StableDiffusion>(), plain(net), 4);
  check(Sampler<Tcd, Flow>(), plain(IndependentDenoiser<Flow>(Flow{}, mixture)), 4);
}

TEST_CASE("clean data are clipped before each update") {
  const auto check = [](const auto& process, const Steps& steps) {
    using Process = std::decay_t<decltype(process)>;
    CAPTURE(Process::name());
    const IndependentDenoiser<Process> net(process, mixture);
    const auto noise = numbers::normal<double>(Shape{2, 64}, "noise");
    const Sampler<Ddim, Process> sampler({}, process);
    const SampleOptions wide{.end = EndPoint::clean, .clip_x0 = 100}, free{.end = EndPoint::clean},
        narrow{.end = EndPoint::clean, .clip_x0 = 0.6};
    // One step to clean data is the clipped estimate itself.
    const auto one = sampler(net, noise, none, {steps.times(process)[0]}, free);
    const auto clipped = sampler(net, noise, none, {steps.times(process)[0]}, narrow);
    for (std::int64_t i = 0; i < one.size(); ++i) CHECK(std::abs(clipped[i] - std::clamp(one[i], -0.6, 0.6)) < 1e-10);
    CHECK(distance(sampler(net, noise, none, steps, wide), sampler(net, noise, none, steps, free)) < 1e-9);
    const auto x = sampler(net, noise, none, steps, narrow);
    for (std::int64_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i]) < 0.6 + 1e-9);
    // Whether the step computes the denoiser itself or not.
    CHECK(distance(x, sampler(plain(net), noise, none, steps, narrow)) < 1e-10);
    CHECK_THROWS_WITH_AS(sampler(net, noise, none, steps, {.clip_x0 = -1}), doctest::Contains("clip_x0 = -1"),
                         OptionError);
  };
  check(StableDiffusion{}, 5);
  check(Flow{}, {0.9, 0.5, 0.2});
  check(Edm{}, 6);
}

TEST_CASE("a solver of three memories is in the sampler what it is by hand") {
  const auto check = [](const auto& process) {
    using Process = std::decay_t<decltype(process)>;
    const IndependentDenoiser<Process> net(process, mixture);
    const Times times = follow::even(process, -2, 2, 12);
    const auto noise = numbers::normal<double>(Shape{1, 8}, "noise");
    follow::Point start(noise.data(), noise.data() + noise.size());
    const auto by_hand = [&] {
      follow::Point out;
      for (const double v : start) out.push_back(follow::steps(process, DpmPp3M{}, mixture, {v}, times)[0]);
      return out;
    }();
    double worst = 1;
    Sampler<DpmPp3M, Process>({}, process)(
        plain(net), noise, none, times, {.scale_noise = false}, [&](int i, StepTimes, const auto& x) {
          if (i + 3 != static_cast<int>(times.size())) return;
          worst = 0;
          for (std::size_t j = 0; j < by_hand.size(); ++j)
            worst = std::max(worst, std::abs(x[static_cast<std::int64_t>(j)] - by_hand[j]));
        });
    CHECK(worst < 1e-11);
  };
  check(Flow{});
  check(StableDiffusion{});
}

TEST_CASE("many samples of a rectified flow have the mean and variance of their chain, which become the data's") {
  const Flow flow = RectifiedFlow{{.shift = 3}};
  const IndependentDenoiser<Flow> net(flow, gaussian);
  const SampleOptions options{.seed = 3, .end = EndPoint::clean};
  const auto noise = numbers::normal<float>(Shape{64, 512}, "many");
  const auto n = static_cast<double>(noise.size());
  const auto check = [&](const auto& sampler) {
    // Each step is affine in x for normal data.
    const auto chain = [&](int steps) {
      Moments x{0, 1};
      for (const PlannedStep& step : sampler.plan(steps, options)) {
        const StepCoefficients& k = step.evaluations[0].update;
        const auto f = net.element<double>(step.times.from);
        const double slope = k.x + k.prediction * (f(1) - f(0));
        x = {slope * x.mean + k.prediction * f(0), slope * slope * x.variance + k.noise * k.noise};
      }
      return x;
    };
    const Moments expected = chain(50), got = moments(sampler(net, noise, none, 50, options));
    CHECK(std::abs(got.mean - expected.mean) < 4 * std::sqrt(expected.variance / n));
    CHECK(std::abs(got.variance / expected.variance - 1) < 4 * std::sqrt(2 / n));
    return std::pair{chain(200).variance / (c * c) - 1, chain(3200).variance / (c * c) - 1};
  };
  (void)check(Sampler<Tcd, Flow>({}, flow));  // lands short of every time, however many: for consistency models
  const auto [coarse, fine] = check(Sampler<Ddim, Flow>({.eta = 1}, flow));
  CHECK(std::abs(fine) < 0.01);
  CHECK(std::abs(fine) < std::abs(coarse) / 10);
}

TEST_CASE("a network that names its process is asked on that process alone") {
  const auto noise = numbers::normal<double>(Shape{2, 4}, "noise");
  const auto half = [](const Tensor<double>& x, const Tensor<double>&, const auto&) {
    return ops::map(ops::Affine<double>{0.5, 0}, x);
  };
  const Sampler<Ddim, StableDiffusion> sampler;
  const auto expected = sampler(half, noise, none, 4).to_vector();
  CHECK(sampler(model<StableDiffusion>(half), noise, none, 4).to_vector() == expected);
  // A table that is known at run time only.
  CHECK(sampler(model<Discrete<>>(half, StableDiffusion{}), noise, none, 4).to_vector() == expected);
  const Discrete<> other = noise_table(ScaledLinear{{.beta_end = 0.02}});
  CHECK_THROWS_WITH_AS((void)sampler(model<Discrete<>>(half, other), noise, none, 4),
                       doctest::Contains("network: its process (table, epsilon) is not the one used here"),
                       OptionError);
  const Flow flow = RectifiedFlow{{.time_scale = 1000}};
  CHECK_THROWS_WITH_AS((void)(Sampler<Ddim, Flow>({}, flow)(model<Flow>(half), noise, none, 4)),
                       doctest::Contains("rectified_flow, flow_velocity"), OptionError);
  CHECK_THROWS_AS((void)predict(flow, model<Flow>(half), noise, Times(2, 0.5), none), OptionError);
}

TEST_CASE("training times of a continuous process are uniform along its way, and shifted as it says") {
  const Flow flow, shifted = RectifiedFlow{{.shift = 3}};
  const Stream s = stream(5, "t");
  const Times a = uniform_times(flow, 20000, s), b = uniform_times(shifted, 20000, s);
  double mean = 0;
  int above = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    mean += a[i] / 20000;
    above += b[i] > 0.75 ? 1 : 0;  // the image of 1/2
    CHECK(b[i] == doctest::Approx(3 * a[i] / (1 + 2 * a[i])));
  }
  CHECK(std::abs(mean - 0.5) < 4 / std::sqrt(12 * 20000.0));
  CHECK(std::abs(above - 10000) < 4 * 71);
  for (const Time t : uniform_times(Edm{}, 1000, s, 0, 0.5, 0.75)) {
    CHECK(t >= VarianceExploding{}.at(0.5));
    CHECK(t <= VarianceExploding{}.at(0.75));
  }
  CHECK_THROWS_AS(uniform_times(flow, 1, s, 0, 0.5, 1.5), OptionError);
}

TEST_CASE("an affine student of a rectified flow learns the exact velocity of Gaussian data") {
  const Flow flow = RectifiedFlow{{.time_scale = 1000}};
  const IndependentDenoiser<Flow> teacher(flow, gaussian);
  for (const Time t : {0.2, 0.5, 0.9}) {
    CAPTURE(t);
    double slope = 0, offset = 0;
    constexpr std::int64_t batch = 512;
    for (std::uint64_t step = 0; step < 300; ++step) {
      auto x0 = ops::normal<double>(Shape{batch, 1}, stream(1, "data", step));
      for (std::int64_t i = 0; i < batch; ++i) x0[i] = m + c * x0[i];
      const auto eps = ops::normal<double>(x0.shape(), stream(1, "noise", step));
      const Times times(static_cast<std::size_t>(batch), t);
      const auto x = add_noise(flow, x0, eps, times), target = training_target(flow, x0, eps, times);
      CHECK(time_tensor<double>(flow, times)[0] == doctest::Approx(1000 * t));
      double by_slope = 0, by_offset = 0;
      for (std::int64_t i = 0; i < batch; ++i) {
        const double residual = slope * x[i] + offset - target[i];
        by_slope += 2 * residual * x[i] / batch;
        by_offset += 2 * residual / batch;
      }
      const double rate = 0.4 / (1 + 0.03 * static_cast<double>(step));
      slope -= rate * by_slope, offset -= rate * by_offset;
    }
    const auto exact = teacher.element<double>(t);
    CHECK(std::abs(offset - exact(0)) < 0.05);
    CHECK(std::abs(slope - (exact(1) - exact(0))) < 0.05);
  }
}
