// SPDX-License-Identifier: Apache-2.0
// Processes by identities and by numbers worked out in Python.
#include <hypersd/diffusion/processes.hpp>

#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <string>

using namespace hypersd;
using namespace hypersd::diffusion;

namespace {

double at(Form f, double x, double prediction) { return f.x * x + f.prediction * prediction; }

/// f(process, times inside it) for each process, its times from nearly clean to nearly pure noise.
template <class F>
void each(F&& f) {
  const Times shares{0.001, 0.03, 0.2, 0.41, 0.5, 0.77, 0.96, 0.999};
  const auto inside = [&](const auto& process) {
    Times t;
    for (const double u : shares) t.push_back(u * process.last());
    return t;
  };
  const Flow flow, shifted = RectifiedFlow{{.shift = 3, .time_scale = 1000}};
  const Edm edm;
  const Trig trig;
  f(flow, inside(flow));
  f(shifted, inside(shifted));
  f(edm, Times{0.002, 0.01, 0.3, 1, 5, 40, 80});
  f(trig, inside(trig));
  f(StableDiffusion{}, Times{-0.5, 0, 0.25, 17, 249.75, 500, 998.5, 999});
  f(StableDiffusionV{}, Times{-0.5, 0, 0.25, 17, 249.75, 500, 998.5, 999});
  f(Process<ZeroTerminalSnr<>, Velocity>{}, Times{0, 250, 998, 998.5, 998.9});
}

/// The same for each prediction of each process.
template <class F>
void each_prediction(F&& f) {
  each([&](const auto& process, const Times& times) {
    using P = std::decay_t<decltype(process)>;
    f(process, times);
    f(process.with(X0{}), times);
    f(process.with(FlowVelocity{}), times);
    if constexpr (!diffusion::detail::zero_terminal_snr<typename P::SchedulePolicy>) f(process.with(Epsilon{}), times);
    if constexpr (P::Levels::variance_preserving) f(process.with(Velocity{}), times);
  });
}

}  // namespace

TEST_CASE("on every process every prediction gives back data, noise, score and velocity") {
  int checked = 0;
  const double x0 = 0.37, eps = -0.81;
  each_prediction([&](const auto& process, const Times& times) {
    CAPTURE(process.name());
    for (const Time t : times) {
      CAPTURE(t);
      const Level l = process.level(t);
      const Target w = process.target(t);
      const double x = l.alpha * x0 + l.sigma * eps, f = w.x0 * x0 + w.eps * eps;
      // What is divided by alpha or sigma is known as well as rounding of x allows.
      CHECK(std::abs(at(process.x0(t), x, f) - x0) * l.alpha < 1e-12);
      CHECK(std::abs(at(process.eps(t), x, f) - eps) * l.sigma < 1e-12 * (1 + std::abs(x)));
      CHECK(std::abs(at(process.score(t), x, f) + eps / l.sigma) * l.sigma * l.sigma < 1e-12 * (1 + std::abs(x)));
      const double v = l.alpha_rate * x0 + l.sigma_rate * eps;
      const double size = 1 + std::abs(l.alpha_rate) / l.alpha + std::abs(l.sigma_rate) / l.sigma;
      CHECK(std::abs(at(process.velocity(t), x, f) - v) < 1e-12 * size * (1 + std::abs(x)));
      // As another type and back.
      const double as_x0 = at(process.convert(X0{}, t), x, f), as_flow = at(process.convert(FlowVelocity{}, t), x, f);
      CHECK(std::abs(as_x0 - x0) * l.alpha < 1e-12);
      CHECK(std::abs(as_flow - v) < 1e-12 * size * (1 + std::abs(x)));
      CHECK(std::abs(at(process.with(FlowVelocity{}).convert(process.prediction(), t), x, as_flow) - f) <
            1e-12 * size * (1 + std::abs(f)) / std::min(l.sigma, l.alpha));
      ++checked;
    }
  });
  CHECK(checked > 150);
}

TEST_CASE("the flow's velocity needs no prediction: it is itself") {
  const Flow flow;
  const Trig trig;
  for (const double t : {0.0, 0.2, 0.5, 1.0}) {
    const Form v = flow.velocity(t);
    CHECK(std::abs(v.x) < 1e-15);
    CHECK(v.prediction == doctest::Approx(1).epsilon(1e-15));
  }
  // TrigFlow's network says it in units of the data.
  for (const double t : {0.0, 0.3, 1.1, 1.56}) {
    const Form v = trig.velocity(t);
    CHECK(std::abs(v.x) < 1e-15);
    CHECK(v.prediction == doctest::Approx(0.5).epsilon(1e-14));
  }
}

TEST_CASE("derivatives of alpha and sigma are those of central differences") {
  each([&](const auto& process, const Times& times) {
    CAPTURE(process.name());
    using Levels = typename std::decay_t<decltype(process)>::Levels;
    for (const Time t : times) {
      const double h = 1e-4 * std::min(1.0, process.last());
      if (t - h < process.first() || t + h > process.last()) continue;
      CAPTURE(t);
      const Level l = process.level(t), a = process.level(t - h), b = process.level(t + h);
      double length = 2 * h;
      // A table's time is the angle.
      if constexpr (Levels::discrete) length = std::atan2(b.sigma, b.alpha) - std::atan2(a.sigma, a.alpha);
      if (t == std::floor(t) && Levels::discrete) continue;  // a corner of the interpolation
      CHECK((b.alpha - a.alpha) / length == doctest::Approx(l.alpha_rate).epsilon(1e-6));
      CHECK((b.sigma - a.sigma) / length == doctest::Approx(l.sigma_rate).epsilon(1e-6));
      CHECK(l.wronskian() > 0);
    }
  });
}

TEST_CASE("time_at is the inverse of the log-SNR") {
  each([&](const auto& process, const Times& times) {
    CAPTURE(process.name());
    Times all = times;
    all.push_back(process.last());
    for (const Time t : all) {
      CAPTURE(t);
      const double lambda = process.lambda(t);
      if (!std::isfinite(lambda)) continue;
      const Time back = process.time_at(lambda);
      CHECK(std::abs(back - t) <= 1e-9 * (1 + t));
      CHECK(process.lambda(back) == doctest::Approx(lambda).epsilon(1e-11));
    }
    double before = std::numeric_limits<double>::infinity();
    for (const Time t : times) {
      CHECK(process.lambda(t) < before);
      before = process.lambda(t);
    }
  });
  CHECK_THROWS_WITH_AS((void)StableDiffusion().time_at(-5), doctest::Contains("no time has a log-SNR of -5"),
                       OptionError);
  CHECK(Process<ZeroTerminalSnr<>, Velocity>().time_at(-std::numeric_limits<double>::infinity()) == 999);
  CHECK(Flow().time_at(-std::numeric_limits<double>::infinity()) == 1);
  CHECK(Flow().time_at(std::numeric_limits<double>::infinity()) == 0);
}

TEST_CASE("re-noising takes a marginal to a marginal, in one step or in two") {
  const double m = 0.3, c = 0.5;
  each([&](const auto& process, const Times& times) {
    CAPTURE(process.name());
    for (const Time s : times)
      for (const Time t : times) {
        if (t < s) continue;
        CAPTURE(s);
        CAPTURE(t);
        const Level a = process.level(s), b = process.level(t);
        const Renoise r = process.renoise(s, t);
        CHECK(r.x * a.alpha * m == doctest::Approx(b.alpha * m).epsilon(1e-12));
        const double from = a.alpha * a.alpha * c * c + a.sigma * a.sigma;
        const double to = b.alpha * b.alpha * c * c + b.sigma * b.sigma;
        CHECK(r.x * r.x * from + r.noise * r.noise == doctest::Approx(to).epsilon(1e-12));
        const Time u = 0.5 * (s + t);
        const Renoise first = process.renoise(s, u), second = process.renoise(u, t);
        CHECK(first.x * second.x == doctest::Approx(r.x).epsilon(1e-12));
        CHECK(std::hypot(second.x * first.noise, second.noise) == doctest::Approx(r.noise).epsilon(1e-9));
      }
    const Time last = times.back();
    CHECK_THROWS_WITH_AS((void)process.renoise(last, times[0]), doctest::Contains("renoise: from time"), OptionError);
  });
  // Between neighbours nothing cancels: sigma^2 grows by (t - s)(t + s).
  CHECK(Edm().renoise(40, 40 + 1e-12).noise ==
        doctest::Approx(std::sqrt(2 * 40 * ((40 + 1e-12) - 40.0))).epsilon(1e-9));
  CHECK(Flow().renoise(0.5, 1).x == 0);
  CHECK(Flow().renoise(0.5, 1).noise == 1);
}

TEST_CASE("jumps move along the line of data and noise, compose there, and stay where they are") {
  const double x0 = 0.37, eps = -0.81;
  each_prediction([&](const auto& process, const Times& times) {
    CAPTURE(process.name());
    const auto x = [&](Time t) { return process.alpha(t) * x0 + process.sigma(t) * eps; };
    const auto f = [&](Time t) { return process.target(t).x0 * x0 + process.target(t).eps * eps; };
    for (const Time t : times) {
      CHECK(process.jump(t, t).x == 1);
      CHECK(process.jump(t, t).prediction == 0);
      for (const Time s : times) {
        CAPTURE(t);
        CAPTURE(s);
        const Form j = process.jump(t, s);
        CHECK(std::abs(at(j, x(t), f(t)) - x(s)) < 1e-12 * (1 + std::abs(j.x) + std::abs(j.prediction)));
      }
      const Form clean = process.jump(t, process.clean());
      CHECK(std::abs(at(clean, x(t), f(t)) - x0) < 1e-12 * (1 + std::abs(clean.x) + std::abs(clean.prediction)));
    }
  });
}

TEST_CASE("TrigFlow's jump is a rotation") {
  const Trig trig;
  for (const auto& [t, s] : {std::pair{1.2, 0.4}, {1.5, 0.0}, {0.3, 0.29}}) {
    const Form j = trig.jump(t, s);
    CHECK(j.x == doctest::Approx(std::cos(t - s)).epsilon(1e-13));
    CHECK(j.prediction == doctest::Approx(-0.5 * std::sin(t - s)).epsilon(1e-12));
  }
}

TEST_CASE("a network's time is the process's and back") {
  each([&](const auto& process, const Times& times) {
    for (const Time t : times)
      CHECK(process.process_time(process.network_time(t)) == doctest::Approx(t).epsilon(1e-14));
  });
  CHECK(Flow().network_time(0.7) == 0.7);
  CHECK(Flow(RectifiedFlow{{.time_scale = 1000}}).network_time(0.7) == doctest::Approx(700).epsilon(1e-15));
  CHECK(Edm().network_time(80) == doctest::Approx(std::log(80) / 4).epsilon(1e-15));
  CHECK(Edm().input_scale(80) == doctest::Approx(1 / std::sqrt(6400.25)).epsilon(1e-15));
  CHECK(Trig().input_scale(1) == 2);
  CHECK(StableDiffusion().network_time(249.5) == 249.5);
  // A float's rounding does not carry the last time out of the process.
  const auto as_float = [](double v) { return static_cast<double>(static_cast<float>(v)); };
  CHECK_NOTHROW((void)Edm().level(Edm().process_time(as_float(Edm().network_time(80)))));
  const Trig whole = TrigFlow{{.sigma_max = std::numeric_limits<double>::infinity()}};
  CHECK(as_float(whole.last()) > whole.last());
  CHECK(whole.process_time(as_float(whole.last())) == whole.last());
  CHECK(whole.level(whole.last()).alpha == 0);
}

TEST_CASE("a rectified flow has its known numbers") {
  const Flow flow;
  const double m = 0.3, c = 0.5, x = 0.9, t = 0.7, s = 0.2;
  const auto variance = [&](Time at) { return std::pow(flow.alpha(at) * c, 2) + std::pow(flow.sigma(at), 2); };
  CHECK(variance(t) == doctest::Approx(0.5125).epsilon(1e-14));
  const AnalyticDenoiser<Flow> net(flow, Mixture({{1, {m}, c}}));
  const auto at_x = Tensor<double>::full(Shape{1, 1}, x), at_t = Tensor<double>::full(Shape{1}, t);
  CHECK(std::abs(net(at_x, at_t, Unconditional{}).item() - 0.6878048780) < 1e-10);
  const double there = flow.alpha(s) * m + std::sqrt(variance(s) / variance(t)) * (x - flow.alpha(t) * m);
  CHECK(std::abs(there - 0.7460029885) < 1e-10);
  // Its derivative by t at t is the velocity.
  const auto map = [&](Time to) {
    return flow.alpha(to) * m + std::sqrt(variance(to) / variance(t)) * (x - flow.alpha(t) * m);
  };
  CHECK((map(t + 1e-5) - map(t - 1e-5)) / 2e-5 == doctest::Approx(0.6878048780).epsilon(1e-8));
}

TEST_CASE("the shift moves a rectified flow's times, not its levels") {
  const RectifiedFlow plain, shifted{{.shift = 3}};
  CHECK(shifted.at(0.25) == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(shifted.at(0.5) == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(shifted.at(0.75) == doctest::Approx(0.9).epsilon(1e-15));
  CHECK(shifted.at(0) == 0);
  CHECK(shifted.at(1) == 1);
  const Times grid = Flow(shifted).grid(4);
  const double expected[] = {1, 0.9, 0.75, 0.5};
  for (std::size_t i = 0; i < 4; ++i) CHECK(grid[i] == doctest::Approx(expected[i]).epsilon(1e-15));
  CHECK(shifted.level(0.3).alpha == plain.level(0.3).alpha);
  CHECK(Flow(shifted) != Flow(plain));
  CHECK_THROWS_WITH_AS((void)RectifiedFlow{{.shift = 0}}.at(0.5), doctest::Contains("shift = 0"), OptionError);
}

TEST_CASE("Stable Diffusion's levels on a rectified flow and as angles") {
  const NoiseTable table = noise_table<ScaledLinear>();
  const Flow flow;
  const Trig trig(TrigFlow{{.sigma_data = 1}}, TrigVelocity{1});
  struct Row {
    int index;
    double time, angle;
  };
  for (const Row& r : {Row{0, 0.02834054, 0.02915889}, {499, 0.61728146, 1.01579587}, {999, 0.93595754, 1.50247828}}) {
    CHECK(std::abs(flow.time_at(table.lambda(r.index)) - r.time) < 1e-8);
    CHECK(std::abs(trig.time_at(table.lambda(r.index)) - r.angle) < 1e-8);
    CHECK(flow.time_at(table.lambda(r.index)) ==
          doctest::Approx(table.sigma(r.index) / (table.alpha(r.index) + table.sigma(r.index))).epsilon(1e-13));
  }
}

TEST_CASE("a network of a rectified flow says what one of TrigFlow says") {
  // x_trig = x_flow (cos t + sin t) at equal log-SNR, and both say x0 and eps.
  const Mixture mixture({{1, {-1}, 0.4}, {2, {0.8}, 0.5}});
  const Flow flow;
  const Trig trig(TrigFlow{{.sigma_data = 1}}, TrigVelocity{1});
  const AnalyticDenoiser<Flow> ours(flow, mixture);
  const AnalyticDenoiser<Trig> theirs(trig, mixture);
  const auto scalar = [](double v, const Shape& shape) { return Tensor<double>::full(shape, v); };
  for (const double angle : {0.2, 0.8, 1.4})
    for (const double x : {-1.2, 0.1, 0.7}) {
      const Time t = flow.time_at(trig.lambda(angle));
      const double scaled = x * flow.alpha(t) / trig.alpha(angle);
      const double v = ours(scalar(scaled, Shape{1, 1}), scalar(t, Shape{1}), Unconditional{}).item();
      const double x0 = at(flow.x0(t), scaled, v), eps = at(flow.eps(t), scaled, v);
      const Target w = trig.target(angle);
      const double f = theirs(scalar(x, Shape{1, 1}), scalar(angle, Shape{1}), Unconditional{}).item();
      CHECK(std::abs(w.x0 * x0 + w.eps * eps - f) < 1e-12);
    }
}

TEST_CASE("EDM's network is trained on targets of unit variance, and its input has unit variance") {
  const Edm edm(VarianceExploding{}, Preconditioned{0.7});
  for (const double sigma : {0.002, 0.1, 0.7, 3.0, 80.0}) {
    const Target w = edm.target(sigma);
    CHECK(std::hypot(w.x0 * 0.7, w.eps) == doctest::Approx(1).epsilon(1e-13));
    CHECK(edm.input_scale(sigma) * std::hypot(0.7, sigma) == doctest::Approx(1).epsilon(1e-14));
    // Table 1: c_skip, c_out.
    CHECK(edm.x0(sigma).x == doctest::Approx(0.49 / (sigma * sigma + 0.49)).epsilon(1e-13));
    CHECK(edm.x0(sigma).prediction == doctest::Approx(sigma * 0.7 / std::sqrt(sigma * sigma + 0.49)).epsilon(1e-13));
  }
  CHECK(edm.x0(0).x == 1);
  CHECK(edm.x0(0).prediction == 0);
  const Times grid = Edm().grid(5);
  CHECK(grid[0] == 80);
  for (std::size_t i = 0; i < 5; ++i) {
    const double u = 1 - static_cast<double>(i) / 5, low = std::pow(0.002, 1 / 7.0), high = std::pow(80, 1 / 7.0);
    CHECK(grid[i] == doctest::Approx(std::pow(low + u * (high - low), 7)).epsilon(1e-12));
  }
  CHECK_THROWS_WITH_AS((void)VarianceExploding{{.sigma_min = 0}}.at(0.5), doctest::Contains("sigmas from 0 to 80"),
                       OptionError);
}

TEST_CASE("times outside a process are named with its range") {
  CHECK_THROWS_WITH_AS((void)Flow().level(1.5), doctest::Contains("rectified flow: time 1.5 is not in [0, 1]"),
                       OptionError);
  CHECK_THROWS_WITH_AS((void)Edm().level(81), doctest::Contains("variance exploding: time 81 is not in [0, 80]"),
                       OptionError);
  CHECK_THROWS_WITH_AS((void)Trig().level(-0.1), doctest::Contains("TrigFlow: time -0.1"), OptionError);
  CHECK_THROWS_WITH_AS(Edm().check(0, false), doctest::Contains("time 0 is not in [0.002, 80]"), OptionError);
  CHECK_NOTHROW(Edm().check(0));
  CHECK_THROWS_AS((void)Flow().level(std::nan("")), OptionError);
  CHECK_THROWS_WITH_AS((void)Flow().score(0), doctest::Contains("infinite at clean data"), NumericError);
  CHECK_THROWS_WITH_AS((void)Flow().with(Epsilon{}).x0(1), doctest::Contains("gives no clean data"), NumericError);
  CHECK_NOTHROW(Flow().require_signal());
  CHECK_THROWS_AS(Flow().with(Epsilon{}).require_signal(), OptionError);
}

TEST_CASE("integer times of a table are its entries, and between them levels fall") {
  const NoiseTable table = noise_table<ScaledLinear>();
  for (int t = 0; t < 999; t += 111) {
    CHECK(table.level(t).alpha == std::sqrt(table.alphas_cumprod(t)));
    for (const double share : {0.25, 0.5, 0.75}) {
      const double expected = table.lambda(t) + share * (table.lambda(t + 1) - table.lambda(t));
      CHECK(table.lambda(t + share) == doctest::Approx(expected).epsilon(1e-12));
      const Level l = table.level(t + share);
      CHECK(std::abs(l.alpha * l.alpha + l.sigma * l.sigma - 1) < 4e-16);
    }
  }
  // Next to clean data and to pure noise the angle is linear.
  const auto angle = [](const Level& l) { return std::atan2(l.sigma, l.alpha); };
  CHECK(angle(table.level(-0.25)) == doctest::Approx(0.75 * angle(table.level(0))).epsilon(1e-13));
  const NoiseTable zero = noise_table<ZeroTerminalSnr<>>();
  CHECK(angle(zero.level(998.5)) ==
        doctest::Approx(0.5 * (angle(zero.level(998)) + std::numbers::pi / 2)).epsilon(1e-13));
}

TEST_CASE("a table known at run time may be that of a named process, and == tells") {
  static_assert(SameProcess<StableDiffusion, Discrete<>> && SameProcess<Discrete<>, StableDiffusion>);
  static_assert(!SameProcess<StableDiffusion, StableDiffusionV> && !SameProcess<Flow, Edm>);
  static_assert(!SameProcess<StableDiffusion, Process<ZeroTerminalSnr<>, Velocity>>);
  const Discrete<> named = StableDiffusion{};
  CHECK(named == StableDiffusion{});
  CHECK(!(Discrete<>(noise_table(ScaledLinear{{.train_steps = 999}})) == StableDiffusion{}));
  CHECK(!(Flow{} == Edm{}));
  CHECK(StableDiffusion::name() == "scaled_linear, epsilon");
  CHECK(Edm::name() == "variance_exploding, preconditioned");
}
