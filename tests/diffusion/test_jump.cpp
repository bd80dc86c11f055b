// SPDX-License-Identifier: Apache-2.0
#include <hypersd/diffusion/jump.hpp>

#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>

#include "numbers.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace hypersd;
using namespace hypersd::diffusion;
using numbers::distance;

namespace {

const NoiseTable table = noise_table<ScaledLinear>();

/// A batch of data and noise with x and the prediction `P` at times t, by the definitions.
template <class P>
struct Exact {
  Tensor<double> x0, eps;

  explicit Exact(const Shape& shape)
      : x0(numbers::normal<double>(shape, "x0")), eps(numbers::normal<double>(shape, "eps")) {}

  [[nodiscard]] Tensor<double> mix(const Times& t, auto&& weights) const {
    Tensor<double> out(x0.shape());
    const std::int64_t inner = x0.size() / x0.dim(0);
    for (std::int64_t i = 0; i < x0.size(); ++i) {
      const Target w = weights(table.level(t[static_cast<std::size_t>(i / inner)]));
      out[i] = w.x0 * x0[i] + w.eps * eps[i];
    }
    return out;
  }
  [[nodiscard]] Tensor<double> x(const Times& t) const {
    return mix(t, [](Level l) { return Target{l.alpha, l.sigma}; });
  }
  [[nodiscard]] Tensor<double> prediction(const Times& t) const { return mix(t, P::target); }
};

double angle(int t) { return std::atan2(table.sigma(t), table.alpha(t)); }

}  // namespace

TEST_CASE("one jump has its known coefficients and is a rotation") {
  struct Row {
    int t, s;
    double eps, x0;
  };
  const Row rows[] = {{999, 974, -0.16023302, 0.01096387}, {999, 874, -0.99344759, 0.06797619},
                      {999, 499, -6.85119275, 0.46878966}, {999, 0, -14.57927393, 0.99758001},
                      {499, 0, -1.58304581, 0.98149877},   {49, 24, -0.07067317, 0.31691560},
                      {24, 0, -0.12230410, 0.80716380}};
  for (const Row& r : rows) {
    CAPTURE(r.t);
    CAPTURE(r.s);
    const double turn = angle(r.t) - angle(r.s);
    const Form e = Discrete<>(table).jump(r.t, r.s), d = Discrete<X0>(table).jump(r.t, r.s);
    const Form v = Discrete<Velocity>(table).jump(r.t, r.s);
    CHECK(std::abs(e.prediction - r.eps) < 2e-8);
    CHECK(std::abs(d.prediction - r.x0) < 2e-8);
    CHECK(std::abs(e.prediction + std::sin(turn) / table.alpha(r.t)) < 1e-12);
    CHECK(std::abs(d.prediction - std::sin(turn) / table.sigma(r.t)) < 1e-12);
    CHECK(std::abs(v.x - std::cos(turn)) < 1e-12);
    CHECK(std::abs(v.prediction + std::sin(turn)) < 1e-12);
  }
  const Form f = Discrete<>(table).jump(999, 499);
  CHECK(std::abs(f.x + 0.5 * f.prediction - 4.2935034605) < 1e-9);
}

TEST_CASE_TEMPLATE("a jump from a time to itself changes no bit", P, Epsilon, Velocity, X0) {
  const auto x = numbers::normal<float>(Shape{4, 5}, "x"), f = numbers::normal<float>(x.shape(), "f");
  const Times t{0, 499, 999, -1};
  CHECK(jump(Discrete<P>(table), x, f, t, t).to_vector() == x.to_vector());
  // Even where the prediction says nothing.
  const NoiseTable zero = noise_table<ZeroTerminalSnr<>>();
  CHECK(jump(Discrete<P>(zero), x, f, Times(4, 999), Times(4, 999)).to_vector() == x.to_vector());
}

TEST_CASE_TEMPLATE("a jump to the origin is the data that the prediction stands for", P, Epsilon, Velocity, X0) {
  const Exact<P> e(Shape{3, 2, 2, 4});
  const Times t{0, 624, 999};
  const auto x = e.x(t), f = e.prediction(t);
  CHECK(distance(jump(Discrete<P>(table), x, f, t, Times(3, -1)), e.x0) < 1e-12);
  CHECK(distance(x0_of(Discrete<P>(table), x, f, t), e.x0) < 1e-12);
  CHECK(distance(eps_of(Discrete<P>(table), x, f, t), e.eps) < 1e-12);
}

TEST_CASE_TEMPLATE("jumps along an exact trajectory compose, each sample at its own times", P, Epsilon, Velocity, X0) {
  const Exact<P> e(Shape{4, 3});
  const Times t{999, 999, 874, 24}, s{499, 998, 873, 0}, u{0, 249, -1, -1};
  const auto at_s = jump(Discrete<P>(table), e.x(t), e.prediction(t), t, s);
  CHECK(distance(at_s, e.x(s)) < 1e-12);
  const auto at_u = jump(Discrete<P>(table), at_s, e.prediction(s), s, u);
  CHECK(distance(at_u, e.x(u)) < 1e-12);
  CHECK(distance(at_u, jump(Discrete<P>(table), e.x(t), e.prediction(t), t, u)) < 1e-12);
  // And back up again.
  CHECK(distance(jump(Discrete<P>(table), at_s, e.prediction(s), s, t), e.x(t)) < 1e-12);
}

TEST_CASE("a batch is its samples jumped one by one") {
  const auto x = numbers::normal<float>(Shape{3, 5}, "x"), f = numbers::normal<float>(x.shape(), "f");
  const Times t{999, 499, 24}, s{874, 0, 24};
  const auto all = jump(Discrete<Velocity>(table), x, f, t, s);
  for (std::size_t b = 0; b < 3; ++b) {
    const auto i = static_cast<std::int64_t>(b);
    const auto one = jump(Discrete<Velocity>(table), x.slice(i, i + 1), f.slice(i, i + 1), Times{t[b]}, Times{s[b]});
    CHECK(one.to_vector() == all.slice(i, i + 1).to_vector());
  }
}

TEST_CASE_TEMPLATE("converting a batch equals the target of the other type", P, Epsilon, Velocity, X0) {
  const Exact<P> e(Shape{2, 6});
  const Times t{124, 999};
  const auto x = e.x(t), f = e.prediction(t);
  CHECK(distance(convert(Discrete<P>(table), Epsilon{}, x, f, t), e.eps) < 1e-12);
  CHECK(distance(convert(Discrete<P>(table), X0{}, x, f, t), e.x0) < 1e-12);
  CHECK(distance(convert(Discrete<P>(table), Velocity{}, x, f, t), e.mix(t, Velocity::target)) < 1e-12);
  CHECK(convert(Discrete<P>(table), P{}, x, f, t).to_vector() == f.to_vector());
}

TEST_CASE("on variables jump, x0 and eps have the tensors' values and the coefficients as gradients") {
  const auto x = numbers::normal<double>(Shape{2, 3}, "x"), f = numbers::normal<double>(x.shape(), "f");
  const auto seed = numbers::normal<double>(x.shape(), "seed");
  const Times t{999, 24}, s{499, 0};
  const auto check = [&](auto&& op, auto&& slope_x, auto&& slope_f) {
    const Var<double> vx(x, true), vf(f, true);
    const auto out = op(vx, vf);
    CHECK(out.value().to_vector() == op(x, f).to_vector());
    autograd::backward(out, seed);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto b = static_cast<std::size_t>(i / 3);
      CHECK(vx.grad()[i] == doctest::Approx(slope_x(b) * seed[i]).epsilon(1e-12));
      CHECK(vf.grad()[i] == doctest::Approx(slope_f(b) * seed[i]).epsilon(1e-12));
    }
  };
  const auto alpha = [&](const Times& of, std::size_t b) { return table.alpha(of[b]); };
  const auto sigma = [&](const Times& of, std::size_t b) { return table.sigma(of[b]); };
  check([&](auto&& a, auto&& b) { return jump(Discrete<>(table), a, b, t, s); },
        [&](std::size_t b) { return alpha(s, b) / alpha(t, b); },
        [&](std::size_t b) { return sigma(s, b) - alpha(s, b) / alpha(t, b) * sigma(t, b); });
  check([&](auto&& a, auto&& b) { return x0_of(Discrete<Velocity>(table), a, b, t); },
        [&](std::size_t b) { return alpha(t, b); }, [&](std::size_t b) { return -sigma(t, b); });
  check([&](auto&& a, auto&& b) { return eps_of(Discrete<X0>(table), a, b, t); },
        [&](std::size_t b) { return 1 / sigma(t, b); }, [&](std::size_t b) { return -alpha(t, b) / sigma(t, b); });
  check([&](auto&& a, auto&& b) { return convert(Discrete<X0>(table), Velocity{}, a, b, t); },
        [&](std::size_t b) { return alpha(t, b) / sigma(t, b); }, [&](std::size_t b) { return -1 / sigma(t, b); });
}

TEST_CASE("re-noising turns the marginal at s into the marginal at t") {
  for (const NoiseTable& levels : {noise_table<ScaledLinear>(), noise_table<Linear>()})
    for (const int s : {-1, 0, 1, 249, 531, 998})
      for (const int t : {0, 1, 2, 250, 759, 999}) {
        if (t < s) continue;
        CAPTURE(s);
        CAPTURE(t);
        const Renoise c = Discrete<>(levels).renoise(s, t);
        const Level from = levels.level(s), to = levels.level(t);
        CHECK(std::abs(c.x * from.alpha - to.alpha) < 1e-14);
        CHECK(std::abs(c.x * c.x * from.sigma * from.sigma + c.noise * c.noise - to.sigma * to.sigma) < 1e-14);
        if (t == s + 1) {  // one step of the forward process adds beta_t
          const double beta = 1 - levels.alphas_cumprod(t) / levels.alphas_cumprod(s);
          CHECK(c.noise * c.noise == doctest::Approx(beta).epsilon(1e-10));
        }
      }
  // Worked out in Python.
  const Renoise c = Discrete<>(table).renoise(531, 759);
  CHECK(std::abs(c.x * c.x - 0.2206854483) < 1e-9);
  CHECK(std::abs(c.noise - 0.8827879427) < 1e-9);
}

TEST_CASE("re-noising to the same time does nothing, to zero SNR leaves noise alone, downward is refused") {
  const Renoise same = Discrete<>(table).renoise(499, 499);
  CHECK(same.x == 1);
  CHECK(same.noise == 0);
  const Renoise pure = Discrete<Velocity>(noise_table<ZeroTerminalSnr<>>()).renoise(499, 999);
  CHECK(pure.x == 0);
  CHECK(pure.noise == 1);
  CHECK_THROWS_WITH_AS((void)Discrete<>(table).renoise(500, 499), doctest::Contains("from time 500 down to 499"),
                       OptionError);
  CHECK_THROWS_WITH_AS((void)Discrete<>(table).renoise(500, 1000), doctest::Contains("1000"), OptionError);
}

TEST_CASE("shapes and times that do not fit are named") {
  const Tensor<float> x = Tensor<float>::zeros(Shape{2, 3}), other = Tensor<float>::zeros(Shape{2, 4});
  const Times t{999, 499};
  CHECK_THROWS_WITH_AS(jump(Discrete<>(table), x, other, t, t), doctest::Contains("[2, 4]"), ShapeError);
  CHECK_THROWS_WITH_AS(jump(Discrete<>(table), x, x, t, Times{1}), doctest::Contains("jump: 1 times"), ShapeError);
  CHECK_THROWS_WITH_AS(x0_of(Discrete<>(table), x, x, Times{1, 2, 3}), doctest::Contains("x0_of: 3 times"), ShapeError);
  CHECK_THROWS_WITH_AS(eps_of(Discrete<X0>(table), x, x, Times{}), doctest::Contains("eps_of: 0 times"), ShapeError);
  CHECK_THROWS_WITH_AS(convert(Discrete<X0>(table), Epsilon{}, x, x, Times{1}), doctest::Contains("convert"),
                       ShapeError);
  CHECK_THROWS_WITH_AS(jump(Discrete<>(table), x, x, t, Times{0, -2}), doctest::Contains("time -2"), OptionError);
  CHECK_THROWS_WITH_AS(jump(Discrete<>(table), x, x, Times{0, 1000}, t), doctest::Contains("time 1000"), OptionError);
  // From a time off the table to itself, too.
  CHECK_THROWS_AS(jump(Discrete<>(table), x, x, Times(2, 1000), Times(2, 1000)), OptionError);
  const NoiseTable zero = noise_table<ZeroTerminalSnr<>>();
  CHECK_THROWS_AS(jump(Discrete<>(zero), x, x, Times(2, 999), Times(2, 0)), NumericError);
  CHECK_THROWS_AS(jump(Discrete<X0>(table), x, x, Times(2, -1), Times(2, 0)), NumericError);
  const auto scalar = Tensor<float>::zeros(Shape{});
  CHECK_THROWS_AS(jump(Discrete<>(table), scalar, scalar, Times{1}, Times{0}), ShapeError);
}

TEST_CASE("times become the numbers that a network takes") {
  const auto t = time_tensor<float>(Discrete<>(table), Times{999, 0, 24});
  CHECK(t.shape() == Shape{3});
  CHECK(t.to_vector() == std::vector<float>{999, 0, 24});
}
