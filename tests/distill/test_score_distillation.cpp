// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/add.hpp>
#include <hypersd/distill/objectives/dmd.hpp>
#include <hypersd/distill/objectives/sds.hpp>

#include "continuous.hpp"
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

TEST_CASE("Distribution matching with inputs that the student makes itself: loss and gradient equal PyTorch's") {
  Case c;
  const Dmd<toy::Mlp> dmd(Case::table(), &c.fake, {.start = {200, 800, 499, 800}, .simulate = true});
  const DmdDraws d{c.golden.times("dmd.simulated.start"), c.golden.times("judged")};
  const auto first = c.golden.values("dmd.step1"), second = c.golden.values("dmd.step2");
  c.check("dmd.simulated", dmd.loss_at(c.student, c.teacher, c.batch, d, c.z, c.judge, {first, second}));
  CHECK_THROWS_WITH_AS(dmd.loss_at(c.student, c.teacher, c.batch, d, c.z, c.judge, {first}),
                       doctest::Contains("noise for 1 steps through 3 start times"), OptionError);
}

TEST_CASE("The exact student's simulated inputs are distributed as noised data, another's are not") {
  const continuous::Gaussian data{.m = 0.3, .c = 0.5};
  const diffusion::Trig process;
  const diffusion::Times times{process.last(), 1.1, 0.6};
  const std::int64_t n = 20000;
  const auto normals = [&](const char* name) { return ops::normal<double>(Shape{n, 1}, stream(4, name)); };
  // Mean and deviation at 0.6, where the samples of odd numbers begin; the others stay at 1.1.
  const auto moments = [&](double factor) {
    continuous::AffineStudent student{
        [&](continuous::Jet t, continuous::Jet) { return data.between(process, t, 0.0); }};
    student.a.set_value(Tensor<double>::full(Shape{1}, factor));
    diffusion::Times start;
    for (std::int64_t b = 0; b < n; ++b) start.push_back(b % 2 ? 0.6 : 1.1);
    const auto plan =
        simulation_plan<diffusion::Trig, double, Cpu>(process, times, start, {normals("one"), normals("two")});
    const auto z = ops::map(ops::Affine<double>{process.starting_scale(process.last()), 0}, normals("z"));
    const auto x = simulate(process, student, z, plan, diffusion::Unconditional{});
    std::vector<double> out(4);
    for (std::int64_t b = 0; b < n; ++b) out[static_cast<std::size_t>(b % 2)] += 2 * x[b] / static_cast<double>(n);
    for (std::int64_t b = 0; b < n; ++b) {
      const double gap = x[b] - out[static_cast<std::size_t>(b % 2)];
      out[static_cast<std::size_t>(2 + b % 2)] += 2 * gap * gap / static_cast<double>(n);
    }
    return out;
  };
  const auto exact = moments(1), wrong = moments(0.8);
  for (const std::size_t i : {0U, 1U}) {
    const diffusion::Level l = process.level(i == 0 ? 1.1 : 0.6);
    const double variance = l.alpha * l.alpha * data.c * data.c + l.sigma * l.sigma;
    const double deviation = std::sqrt(variance / (n / 2.0));  // of a mean of n / 2
    CHECK(std::abs(exact[i] - l.alpha * data.m) < 4 * deviation);
    CHECK(exact[2 + i] == doctest::Approx(variance).epsilon(0.06));  // 4 deviations of a variance of n / 2
    CHECK(std::abs(wrong[i] - l.alpha * data.m) > 4 * deviation);
  }
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
