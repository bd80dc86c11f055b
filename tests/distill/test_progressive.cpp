// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/pd.hpp>

#include "objective_case.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using toy::Case;

namespace {

/// The exact noise prediction for data N(0, 1/4), in any precision.
template <class T>
struct Quarter {
  Tensor<T> operator()(const Tensor<T>& x, const Tensor<T>& t, diffusion::Unconditional) const {
    const auto noise = Case::table();
    Tensor<T> factor(t.shape());
    for (std::int64_t i = 0; i < t.size(); ++i) {
      const auto l = noise.level(static_cast<int>(t[i]));
      factor[i] = static_cast<T>(l.sigma / (0.25 * l.alpha * l.alpha + l.sigma * l.sigma));
    }
    return ops::map(ops::Mul{}, x, ops::per_sample(factor));
  }
};
template <class T>
struct HalfOfIt {
  Var<T> operator()(const Var<T>& x, const Tensor<T>&, diffusion::Unconditional) const {
    return autograd::affine(x, T(0.5));
  }
};

}  // namespace

TEST_CASE("Progressive distillation, Eq 1-3, in the spaces x, x0 and eps: loss and gradient equal PyTorch's") {
  const auto check = [](const char* name, PdSpace space, PdWeight weight) {
    const Case c;
    const PdDraws d{c.golden.times("pd.t"), c.golden.times("pd.middle"), c.golden.times("pd.end"), c.scale};
    c.check(name, Pd<>(Case::table(), {.steps = 4, .space = space, .weight = weight})
                      .loss_at(c.student, c.teacher, c.batch, d, c.noise));
  };
  check("pd.x", PdSpace::x, PdWeight::one);
  check("pd.eps", PdSpace::eps, PdWeight::one);
  check("pd.x0.one", PdSpace::x0, PdWeight::one);
  check("pd.x0.truncated", PdSpace::x0, PdWeight::truncated_snr);
  check("pd.x0.plus", PdSpace::x0, PdWeight::snr_plus_one);
  const Case c;  // a number of steps that does not divide T
  const PdDraws d{c.golden.times("pd16.t"), c.golden.times("pd16.middle"), c.golden.times("pd16.end"), c.scale};
  c.check("pd16", Pd<>(Case::table(), {.steps = 16}).loss_at(c.student, c.teacher, c.batch, d, c.noise));
}

TEST_CASE("Progressive distillation: two steps of a teacher of clean data 0.2 and then 0.35 make x* = 0.30198") {
  struct Clean {
    Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>& t, diffusion::Unconditional) const {
      return Tensor<double>::full(x.shape(), t[0] == 999 ? 0.2 : 0.35);
    }
  };
  struct Student {
    double x0;
    Var<double> operator()(const Var<double>& x, const Tensor<double>&, diffusion::Unconditional) const {
      return Var<double>(Tensor<double>::full(x.shape(), x0));
    }
  };
  // Data and noise for which x_999 = 1.
  const auto one = Tensor<double>::ones(Shape{1, 1});
  const auto l = Case::table().level(999);
  const auto x0 = Tensor<double>::full(Shape{1, 1}, (1 - l.sigma) / l.alpha);
  const Batch<double, Cpu, diffusion::Unconditional> batch{x0, {}};
  const PdDraws d{{999}, {749}, {499}, {1.0}};
  const auto loss = [&](PdSpace space, double predicted) {
    return Pd<diffusion::Discrete<diffusion::X0>>(Case::table(), {.steps = 2, .space = space, .weight = PdWeight::one})
        .loss_at(Student{predicted}, Clean{}, batch, d, one)
        .loss.item();
  };
  const double star = 0.3019827539;
  CHECK(loss(PdSpace::x0, 0) == doctest::Approx(star * star).epsilon(1e-8));
  CHECK(loss(PdSpace::x, star) < 1e-18);
  const double eps_of_zero = 1 / l.sigma;  // of clean data 0
  CHECK(loss(PdSpace::eps, 0) == doctest::Approx(std::pow(eps_of_zero - 0.9816751958, 2)).epsilon(1e-5));
}

TEST_CASE("Progressive distillation's target keeps its digits in float where a jump is short") {
  const auto loss = [](auto zero, int steps) {
    using T = decltype(zero);
    const auto draw = ops::normal<double>(Shape{64, 4}, stream(1, "data"));
    const auto more = ops::normal<double>(Shape{64, 4}, stream(1, "noise"));
    Tensor<T> x0(draw.shape()), noise(draw.shape());
    for (std::int64_t i = 0; i < draw.size(); ++i)
      x0[i] = static_cast<T>(static_cast<float>(draw[i])), noise[i] = static_cast<T>(static_cast<float>(more[i]));
    const Batch<T, Cpu, diffusion::Unconditional> batch{x0, {}};
    const PdDraws d{diffusion::Times(64, 999), diffusion::Times(64, 999 - 500 / steps),
                    diffusion::Times(64, 999 - 1000 / steps), std::vector<double>(64, 1.0)};
    return static_cast<double>(Pd<>(Case::table(), {.steps = steps, .weight = PdWeight::one})
                                   .loss_at(HalfOfIt<T>{}, Quarter<T>{}, batch, d, noise)
                                   .loss.item());
  };
  for (const int steps : {4, 100, 500}) {
    CAPTURE(steps);
    const double exact = loss(0.0, steps);
    MESSAGE(steps << " steps, float: relative error " << loss(0.0F, steps) / exact - 1);
    CHECK(std::abs(loss(0.0F, steps) / exact - 1) < 2e-6);
  }
}

TEST_CASE("Progressive distillation draws jumps of the sampler's grid, with the teacher's stop half way") {
  const Pd<> pd(Case::table(), {.steps = 4});
  const PdDraws d = pd.draw(64, {3, 0});
  for (std::size_t b = 0; b < d.t.size(); ++b) {
    CHECK(std::fmod(d.t[b] + 1, 250) == 0);
    CHECK(d.end[b] == std::max(0.0, d.t[b] - 250));
    CHECK(d.middle[b] == d.t[b] - 125);
  }
  CHECK_THROWS_AS(Pd<>(Case::table(), {.steps = 501}), OptionError);
}
