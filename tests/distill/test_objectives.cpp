// SPDX-License-Identifier: Apache-2.0
#include <hypersd/distill/objectives/tscd.hpp>

#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/distill/distances/huber.hpp>
#include <hypersd/distill/objectives/cd.hpp>
#include <hypersd/distill/objectives/ctm.hpp>

#include "golden.hpp"

#include <doctest/doctest.h>
#include <string>

using namespace hypersd;
using namespace hypersd::distill;

namespace {

using Condition = Tensor<double>;

Draws draws(const toy::Golden& golden, const std::string& name, bool guided) {
  Draws d{golden.times(name + ".t"), golden.times(name + ".t_prev"), golden.times(name + ".t_end"), {}};
  for (const double w : golden.values("omega").span()) d.guidance.push_back(guided ? diffusion::scale_of_w(w) : 1.0);
  return d;
}

/// Loss and gradient of `objective` on the golden case against PyTorch's.
template <class O>
void check_golden(const O& objective, const std::string& name, const std::string& distance) {
  CAPTURE(name);
  CAPTURE(distance);
  const toy::Golden golden("distill");
  const auto student = golden.network("student", true), teacher = golden.network("teacher", true),
             target = golden.network("target", true);
  const auto result =
      objective.loss_at(student, teacher, target, golden.batch(),
                        draws(golden, name, name.find("unguided") == std::string::npos), golden.values("noise"));
  const std::string where = name + "." + distance;
  golden.check(where, result.loss, student);
  for (const auto* net : {&teacher, &target})
    for (const auto& [p, var] : net->parameters()) CHECK(!var.grad().defined());
}

diffusion::NoiseTable table() { return diffusion::noise_table<diffusion::ScaledLinear>(); }

/// The exact denoiser of N(0, 1): eps = sigma x, whose probability flow is the identity.
struct UnitGaussian {
  Tensor<double> operator()(const Tensor<double>& x, const Tensor<double>& t, const Condition&) const {
    const auto noise = table();
    Tensor<double> sigma(t.shape());
    for (std::int64_t i = 0; i < t.size(); ++i) sigma[i] = noise.sigma(static_cast<int>(t[i]));
    return ops::map(ops::Mul{}, x, ops::per_sample(sigma));
  }
};
/// The same as a student: sigma a x with a parameter a = 1.
struct GaussianStudent {
  Var<double> a{Tensor<double>::ones(Shape{1}), true};
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Condition& c) const {
    return autograd::mul(Var<double>(UnitGaussian{}(x.value(), t, c)), ops::everywhere(a));
  }
};

Batch<double, Cpu, Condition> gaussian_batch(std::int64_t n) {
  const auto none = Tensor<double>::zeros(Shape{n});
  return {ops::normal<double>(Shape{n, 4}, stream(1, "data")), {none, none}};
}

}  // namespace

TEST_CASE("Eq 4, 5 and 12: loss and gradient equal PyTorch's") {
  check_golden(Cd<>(table()), "cd", "mse");
  check_golden(Ctm<>(table()), "ctm", "mse");
  check_golden(Tscd<8>(table()), "tscd8", "mse");
  check_golden(Tscd<4>(table()), "tscd4", "mse");
  check_golden(Tscd<2>(table()), "tscd2", "mse");
  check_golden(Tscd<1>(table()), "tscd1", "mse");
  check_golden(Tscd<4>(table()), "tscd4_unguided", "mse");
  check_golden(Cd<diffusion::Discrete<>, Huber>(table()), "cd", "huber");
  check_golden(Tscd<8, diffusion::Discrete<>, Huber>(table()), "tscd8", "huber");
}

TEST_CASE("A student equal to an unguided teacher has no loss when each segment is one grid step, and one else") {
  const GaussianStudent student;
  const UnitGaussian exact;
  const auto batch = gaussian_batch(64);
  for (int step = 0; step < 5; ++step) {
    const auto whole = Tscd<40>(table()).loss(student, exact, exact, batch, {3, step});
    CHECK(whole.loss.item() == 0.0);
    CHECK(whole.diagnostic("anchored") == 1.0);  // every target is the teacher's own step
  }
  CHECK(Tscd<8>(table()).loss(student, exact, exact, batch, {3, 0}).loss.item() > 1e-6);
  CHECK(Tscd<1>(table()).loss(student, exact, exact, batch, {3, 0}).loss.item() >
        Tscd<8>(table()).loss(student, exact, exact, batch, {3, 0}).loss.item());
}

TEST_CASE("TSCD with one segment is CTM; equal seeds and steps give equal losses") {
  const GaussianStudent student;
  const UnitGaussian exact;
  const auto batch = gaussian_batch(32);
  const double a = Tscd<1>(table()).loss(student, exact, exact, batch, {3, 2}).loss.item();
  CHECK(a == Ctm<>(table()).loss(student, exact, exact, batch, {3, 2}).loss.item());
  CHECK(a == Tscd<1>(table()).loss(student, exact, exact, batch, {3, 2}).loss.item());
  CHECK(a != Tscd<1>(table()).loss(student, exact, exact, batch, {3, 3}).loss.item());
}

TEST_CASE("Offset noise of deviation 0 changes no bit; of deviation 0.1 it adds 0.01 to the variance") {
  const GaussianStudent student;
  const UnitGaussian exact;
  const auto batch = gaussian_batch(32);
  const ConsistencyOptions plain{.noise_offset = 0.0}, offset{.noise_offset = 0.1};
  const double a = Tscd<8>(table(), plain).loss(student, exact, exact, batch, {3, 2}).loss.item();
  CHECK(a == Tscd<8>(table()).loss(student, exact, exact, batch, {3, 2}).loss.item());
  CHECK(a != Tscd<8>(table(), offset).loss(student, exact, exact, batch, {3, 2}).loss.item());
}

TEST_CASE("A noise prediction at zero terminal SNR and a grid that does not divide T are refused") {
  std::vector<double> zero(1000);
  for (int t = 0; t < 1000; ++t) zero[static_cast<std::size_t>(t)] = 1.0 - (t + 1) / 1000.0;
  CHECK_THROWS_AS(Tscd<8>(diffusion::NoiseTable(zero)), OptionError);
  CHECK_NOTHROW(Tscd<8, diffusion::Discrete<diffusion::Velocity>>(diffusion::NoiseTable(zero)));
  CHECK_THROWS_AS(Tscd<8>(table(), {.grid_points = 33}), OptionError);
}
