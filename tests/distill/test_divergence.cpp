// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/divergence.hpp>
//
#include <doctest/doctest.h>

#include <hypersd/distill/objectives/decoupled_dmd.hpp>
#include <hypersd/distill/objectives/rcm.hpp>

#include "continuous.hpp"

using namespace hypersd;
using namespace hypersd::distill;
using continuous::AffineStudent;
using continuous::Gaussian;
using diffusion::Trig;
using diffusion::Unconditional;

namespace {

using Net = continuous::Mlp<false>;

/// The golden file's process, which starts at atan(160).
DmdDraws compared(const continuous::Golden& golden) {
  return {diffusion::Times(6, Trig().last()), golden.numbers("compared")};
}
void check_divergence(const std::string& name, Divergence divergence) {
  const continuous::Golden golden("matching");
  const auto student = golden.network<false>("student", true);
  auto fake = golden.network<false>("fake"), critic = golden.network<false>("critic");
  const Dmd<Net, Trig, Net> objective(
      Trig(), &fake,
      {.regression_weight = 0, .adversarial_weight = 0.2, .judge_noised = true, .divergence = divergence}, &critic);
  golden.check("divergence." + name,
               objective
                   .loss_at(student, golden.network<false>("teacher"), golden.batch(), compared(golden),
                            golden.values("z"), golden.values("noise"))
                   .loss,
               student);
}

/// E_q h((r - low) ...) of q = N(m, 1) and p = N(0, 1) by a sum over a fine grid, r = p / q = exp(-m x + m^2 / 2).
double mean_under_q(double m, Divergence divergence) {
  const DivergenceWeight h{divergence, 1e-12, 1e12, 1};
  double sum = 0;
  for (int i = -4000; i <= 4000; ++i) {
    const double x = m + i * 0.002;
    sum += 0.002 * std::exp(-0.5 * (x - m) * (x - m)) / std::sqrt(2 * std::acos(-1.0)) * h(-m * x + m * m / 2);
  }
  return sum;
}

}  // namespace

TEST_CASE("Matching of other divergences with a critic of noised samples: loss and gradient equal PyTorch's") {
  check_divergence("softened_reverse_kl", Divergence::softened_reverse_kl);
  check_divergence("jensen_shannon", Divergence::jensen_shannon);
  check_divergence("squared_hellinger", Divergence::squared_hellinger);
  check_divergence("forward_kl", Divergence::forward_kl);
  check_divergence("jeffreys", Divergence::jeffreys);
  check_divergence("neyman", Divergence::neyman);
}

TEST_CASE("Weights of divergences give the slopes of the divergences of two Gaussians") {
  // q = N(m, 1), p = N(0, 1): the score difference is m everywhere, so the slope is m E_q h.
  const double m = 0.7;
  CHECK(m * mean_under_q(m, Divergence::reverse_kl) == doctest::Approx(m));
  CHECK(m * mean_under_q(m, Divergence::forward_kl) == doctest::Approx(m).epsilon(1e-6));
  CHECK(m * mean_under_q(m, Divergence::jensen_shannon) == doctest::Approx(0.31155).epsilon(1e-4));
  CHECK(mean_under_q(m, Divergence::jeffreys) == doctest::Approx(2).epsilon(1e-6));
  CHECK(mean_under_q(m, Divergence::squared_hellinger) == doctest::Approx(std::exp(-m * m / 8)).epsilon(1e-6));
  CHECK(mean_under_q(m, Divergence::neyman) == doctest::Approx(std::exp(m * m)).epsilon(1e-6));
  CHECK(mean_under_q(m, Divergence::softened_reverse_kl) + mean_under_q(m, Divergence::jensen_shannon) ==
        doctest::Approx(1));
  // Bounds of r, and logits of several places.
  CHECK(DivergenceWeight{Divergence::forward_kl, 0.1, 20, 1}(5.0) == doctest::Approx(20));
  CHECK(DivergenceWeight{Divergence::forward_kl, 0.1, 20, 4}(-40.0) == doctest::Approx(0.1));
  CHECK(DivergenceWeight{Divergence::forward_kl, 0.1, 20, 4}(4.0) == doctest::Approx(std::exp(1.0)));
}

TEST_CASE("A divergence without a critic of noised samples is refused") {
  const continuous::Golden golden("matching");
  auto fake = golden.network<false>("fake"), critic = golden.network<false>("critic");
  CHECK_THROWS_AS((Dmd<Net, Trig>(Trig(), &fake, {.divergence = Divergence::forward_kl})), OptionError);
  CHECK_THROWS_AS((Dmd<Net, Trig, Net>(Trig(), &fake, {.divergence = Divergence::forward_kl}, &critic)), OptionError);
  CHECK_THROWS_AS((Dmd<Net, Trig, Net>(Trig(), &fake, {.ratio_low = 2, .ratio_high = 1}, &critic)), OptionError);
}

TEST_CASE("Decoupled distribution matching: loss and gradient equal PyTorch's") {
  const continuous::Golden golden("matching");
  const auto student = golden.network<false>("student", true);
  const auto teacher = golden.network<false>("teacher");
  auto fake = golden.network<false>("fake");
  const DecoupledDmd<Net, Trig> objective(Trig(), &fake, {.guidance = 3, .regression_weight = 0});
  const auto z = golden.values("z");
  const auto matched =
      objective.matching.loss_at(student, teacher, golden.batch(), compared(golden), z, golden.values("noise"));
  const diffusion::Times last(6, Trig().last());
  const auto x = few_step_samples(student, Trig(), golden.batch(), last, z, {Trig().last()});
  const auto added =
      objective.augmentation(x, teacher, golden.batch(), golden.numbers("augmented"), golden.values("flow_noise"));
  golden.check("decoupled", autograd::add(matched.loss, added), student);
}

TEST_CASE("Decoupled distribution matching at one time and noise goes where guided matching goes") {
  const continuous::Golden golden("matching");
  const auto teacher = golden.network<false>("teacher");
  auto fake = golden.network<false>("fake");
  const auto z = golden.values("z"), noise = golden.values("noise");
  const diffusion::Times last(6, Trig().last());
  const auto slopes = [&](const auto& loss_of) {
    const Var<double> x(golden.values("x0"), true);
    // The student's clean data are x whatever it is asked at; its input is x_t / 0.5.
    const auto student = [&](const Var<double>& at, const Tensor<double>&, const Tensor<double>&) {
      const diffusion::Form f = Trig().x0(Trig().last());
      return autograd::linear_combination(1 / f.prediction, x, -0.5 * f.x / f.prediction, at);
    };
    autograd::backward(loss_of(student));
    return x.grad().to_vector();
  };
  const Dmd<Net, Trig> guided(Trig(), &fake, {.guidance = 3, .regression_weight = 0});
  const DecoupledDmd<Net, Trig> decoupled(Trig(), &fake, {.guidance = 3, .regression_weight = 0});
  const auto one = slopes([&](const auto& student) {
    return guided.loss_at(student, teacher, golden.batch(), compared(golden), z, noise).loss;
  });
  const auto two = slopes([&](const auto& student) {
    const auto first = decoupled.matching.loss_at(student, teacher, golden.batch(), compared(golden), z, noise).loss;
    const auto x = few_step_samples(student, Trig(), golden.batch(), last, z, {Trig().last()});
    return autograd::add(first, decoupled.augmentation(x, teacher, golden.batch(), golden.numbers("compared"), noise));
  });
  for (std::size_t b = 0; b < 6; ++b) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 5 * b; i < 5 * b + 5; ++i) ab += one[i] * two[i], aa += one[i] * one[i], bb += two[i] * two[i];
    CHECK(ab / std::sqrt(aa * bb) == doctest::Approx(1).epsilon(1e-12));
  }
}

TEST_CASE("Decoupled distribution matching: times not above the start; both terms in one iteration; refusals") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const Trig process;
  auto fake = data.teacher(process);
  const DecoupledDmd<decltype(fake), Trig> objective(process, &fake, {.start = {0.8, 1.5}});
  const auto t = objective.times({0.8, 1.5, 0.8, 0.8, 0.01}, {1, 2});
  CHECK((t[0] <= 0.8 && t[1] <= 1.5 && t[2] <= 0.8 && t[3] <= 0.8 && t[4] == 0.01));
  CHECK(t[0] != t[2]);
  CHECK(*std::min_element(t.begin(), t.end() - 1) >= 0.02 * process.last());
  // An exact student, exact scores and no classes: nothing is left.
  const AffineStudent student{[&](continuous::Jet n, continuous::Jet) { return data.between(process, n, 0.0); }};
  const Batch<double, Cpu, Unconditional> batch{Tensor<double>::full(Shape{8, 1}, 0.1), {}};
  const auto loss = objective.loss(student, fake, fake, batch, {1, 2});
  CHECK(loss.loss.item() == 0);
  CHECK(loss.diagnostic("augmentation") == 0);
  CHECK_THROWS_AS((DecoupledDmd<decltype(fake), Trig>(process, &fake, {.guidance = 0.5})), OptionError);
}

TEST_CASE("rCM: loss and gradient equal PyTorch's, which are those of sCM and distribution matching") {
  const continuous::Golden golden("matching");
  const auto student = golden.network<false>("student", true);
  const auto teacher = golden.network<false>("teacher");
  auto fake = golden.network<false>("fake");
  const auto objective = rcm(Trig(), &fake);
  const auto& [consistency, matching] = objective.terms;
  CHECK(consistency.weight == 100);
  CHECK(matching.weight == 1);
  CHECK(matching.objective.options.learn_per_update == 5);
  const ContinuousDraws d{golden.numbers("rcm.t"), std::vector<double>(6, 0.0), golden.numbers("scale")};
  const auto first = consistency.objective.loss_at(student, teacher, golden.batch(), d, golden.values("noise")).loss;
  const auto second =
      matching.objective
          .loss_at(student, teacher, golden.batch(), compared(golden), golden.values("z"), golden.values("noise"))
          .loss;
  golden.check("rcm", autograd::linear_combination(consistency.weight, first, matching.weight, second), student);
}

TEST_CASE("rCM: the exact consistency function of Gaussian data has no gradient with exact scores") {
  const Gaussian data{.m = 0.3, .c = 0.5};
  const Trig process;
  auto fake = data.teacher(process);
  const auto objective =
      rcm(process, &fake, {.consistency = {.bound = TangentBound::none}, .matching = {.guidance = 1}});
  const Batch<double, Cpu, Unconditional> batch{Tensor<double>::full(Shape{16, 1}, 0.1), {}};
  const auto gradient = [&](double factor) {
    AffineStudent student{[&](continuous::Jet t, continuous::Jet) { return data.between(process, t, 0.0); }};
    student.a.set_value(Tensor<double>::full(Shape{1}, factor));
    const auto samples = diffusion::student_samples(objective, student, fake, fake, batch, {1, 2});
    autograd::backward(diffusion::loss_from(objective, samples, student, fake, fake, batch, {1, 2}).loss);
    return std::abs(student.a.grad()[0]);
  };
  CHECK(gradient(1) < 1e-9 * gradient(1.1));
}
