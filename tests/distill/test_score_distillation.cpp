// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/sds.hpp>

#include "objective_case.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using toy::Case, toy::Condition;

namespace {

/// A fixed critic that names the form of its loss.
struct NonSaturatingCritic : toy::Mlp {
  using form = NonSaturating;
};

/// A prediction that is the same everywhere.
struct Constant {
  double first, second;
  Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>&, const Condition&) const {
    Tensor<double> out(x.shape());
    for (std::int64_t b = 0; b < x.dim(0); ++b) out[2 * b] = first, out[2 * b + 1] = second;
    return out;
  }
};
/// A student whose prediction is a parameter.
struct Parameter {
  Var<double> value;
  Var<double> operator()(const Var<double>&, const Tensor<double>&, const Condition&) const { return value; }
};

}  // namespace

TEST_CASE("Score distillation and distribution matching, Eq 8: loss and gradient equal PyTorch's") {
  const Case sds;
  const auto t = sds.golden.times("judged");
  sds.check("sds", Sds<>(Case::table()).loss_at(sds.student, sds.teacher, sds.batch, t, sds.z, sds.judge));
  const DmdDraws d{diffusion::Times(6, 999), t};
  const auto dmd = [&](const char* name, DmdOptions o, bool paired) {
    Case c;
    if (paired) c.batch.noise = c.golden.values("pair");
    c.check(name, Dmd<toy::Mlp>(Case::table(), &c.fake, o).loss_at(c.student, c.teacher, c.batch, d, c.z, c.judge));
  };
  dmd("dmd", {}, false);
  dmd("dmd.alpha", {.paper_alpha_weight = true}, false);
  dmd("dmd.regression", {}, true);
  const auto several = [&](const char* name, auto critic, double weight) {
    Case c;
    const DmdDraws at{c.golden.times("dmd.start"), t};
    const decltype(critic) net{c.critic};
    const DmdOptions o{.start = {499, 800}, .adversarial_weight = weight};
    c.check(name, Dmd<toy::Mlp, diffusion::Discrete<>, const decltype(critic)>(Case::table(), &c.fake, o, &net)
                      .loss_at(c.student, c.teacher, c.batch, at, c.z, c.judge));
  };
  several("dmd.several", toy::Mlp{}, 0);
  several("dmd.hinge", toy::Mlp{}, 0.2);
  several("dmd.non_saturating", NonSaturatingCritic{}, 0.2);
}

TEST_CASE("Distribution matching moves x = [1, -1] by g = [0.6, -0.8], and down where the fake lies above") {
  const auto gradient = [](Constant real, Constant fake, double alpha_weight = 0) {
    const Parameter student{Var<double>(Tensor<double>::from(Shape{1, 2}, {1.0, -1.0}), true)};
    const auto zero = Tensor<double>::zeros(Shape{1, 2});
    const Batch<double, Cpu, Condition> batch{zero, {Tensor<double>::zeros(Shape{1}), Tensor<double>::zeros(Shape{1})}};
    const Dmd<Constant, diffusion::Discrete<diffusion::X0>> dmd(
        Case::table(), &fake, {.guidance = 1, .paper_alpha_weight = alpha_weight != 0});
    const auto result = dmd.loss_at(student, real, batch, {{999}, {500}}, zero, zero);
    autograd::backward(result.loss);
    return std::pair{result.loss.item(), student.value.grad().to_vector()};
  };
  const auto [loss, g] = gradient({0.5, -0.5}, {0.8, -0.9});
  CHECK(loss == doctest::Approx(0.25));
  CHECK(g[0] == doctest::Approx(0.3));
  CHECK(g[1] == doctest::Approx(-0.4));
  CHECK(gradient({0.5, -0.5}, {0.5, -0.5}).second == std::vector<double>{0, 0});
  CHECK(gradient({0.5, -0.5}, {0.8, -0.9}, 1).second[0] == doctest::Approx(0.3 * Case::table().alpha(500)));
  // Real N(0, 1), fake N(m, 1): x0_fake - x0_real = sigma^2 m.
  CHECK(gradient({0, 0}, {0.2, 0.2}).second[0] > 0);
}

TEST_CASE("A one-step student with the time input 800 starts in pure noise there") {
  const Var<double> eps(Tensor<double>::full(Shape{1, 1}, 0.5));
  const auto z = Tensor<double>::ones(Shape{1, 1}), data = Tensor<double>::full(Shape{1, 1}, 7.0);
  const diffusion::Discrete<> process = Case::table();
  for (const auto& [t, x0] : {std::pair{800.0, 2.6524228}, std::pair{999.0, 7.3414929}}) {
    const auto start = start_states(process, data, z, {t}, highest(process, {399, t}));
    CHECK(one_step(Parameter{eps}, process, start, {t}, Tensor<double>::zeros(Shape{1})).value()[0] ==
          doctest::Approx(x0).epsilon(1e-7));
  }
}

TEST_CASE("With its second weight, adversarial diffusion distillation's term has score distillation's gradient") {
  struct Zero {
    Var<double> operator()(const Var<double>& x, const Tensor<double>&, const Condition&) const {
      return autograd::affine(x, 0.0);
    }
  };
  const Case a, b;
  const Zero critic;
  const auto t = a.golden.times("judged");
  autograd::backward(
      Add<const Zero>(Case::table(), &critic, {.start = {999}, .distillation = 1, .weight = AddWeight::sds})
          .loss_at(a.student, a.teacher, a.batch, {diffusion::Times(6, 999), t}, a.z, a.judge)
          .loss);
  autograd::backward(Sds<>(Case::table()).loss_at(b.student, b.teacher, b.batch, t, b.z, b.judge).loss);
  for (std::size_t i = 0; i < 4; ++i)
    CHECK(toy::relative(a.student.parameters()[i].second.grad(), b.student.parameters()[i].second.grad()) < 1e-9);
}

TEST_CASE("An injected gradient arrives, divided by the number of elements") {
  const Var<double> x(Tensor<double>::from(Shape{1, 2}, {1.0, -1.0}), true);
  // x0_real = [.5, -.5], x0_fake = [.8, -.9]: mean |x - real| = 0.5, so g = [0.6, -0.8].
  const auto loss = inject_gradient(x, Tensor<double>::from(Shape{1, 2}, {0.6, -0.8}));
  CHECK(loss.item() == doctest::Approx(0.25));
  autograd::backward(loss);
  CHECK(x.grad()[0] == doctest::Approx(0.3));
  CHECK(x.grad()[1] == doctest::Approx(-0.4));
}

TEST_CASE("An injected gradient that x would round away arrives in 16 bits") {
  const auto x = Tensor<bfloat16>::full(Shape{4}, bfloat16(100.0F)),
             g = Tensor<bfloat16>::full(Shape{4}, bfloat16(0.01F));
  REQUIRE(static_cast<float>(ops::map(ops::Sub{}, x, g)[0]) == 100.0F);
  const Var<bfloat16> student(x, true);
  const auto loss = inject_gradient(student, g);
  CHECK(static_cast<float>(loss.item()) == doctest::Approx(5e-5).epsilon(0.01));
  autograd::backward(loss);
  for (std::int64_t i = 0; i < 4; ++i) CHECK(static_cast<float>(student.grad()[i]) == 0.25F * static_cast<float>(g[i]));
}
