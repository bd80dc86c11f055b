// SPDX-License-Identifier: Apache-2.0
#include <hypersd/feedback/refl.hpp>

#include <doctest/doctest.h>

#include <hypersd/autograd/grad_copy.hpp>
#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/feedback/stay_close.hpp>

using namespace hypersd;
using namespace hypersd::feedback;
using diffusion::Unconditional;

namespace {

using Exact = diffusion::AnalyticDenoiser<diffusion::Discrete<diffusion::X0>>;
using Data = diffusion::Batch<double, Cpu, Unconditional>;

diffusion::Discrete<diffusion::X0> process() { return diffusion::noise_table<diffusion::ScaledLinear>(); }
/// Two clouds, left and right of the origin.
Exact exact() { return {process(), diffusion::Mixture({{1, {-1, 0}, 0.1}, {1, {1, 0}, 0.1}})}; }

/// The exact denoiser, and a shift of its clean data as the only parameter.
struct Shifted {
  Exact teacher = exact();
  Var<double> shift{Tensor<double>::zeros(Shape{2}), true};
  Var<double> operator()(const Var<double>& x, const Tensor<double>& t, const Unconditional& c) const {
    return autograd::add(Var<double>(teacher(x.value(), t, c)), ops::per_channel(shift));
  }
};
/// How far to the right a point is.
struct Right {
  Var<double> operator()(const Var<double>& x, const Unconditional&) const {
    return autograd::sum_to_samples(autograd::slice_channels(x, 0, 1));
  }
};

struct Run {
  Shifted student;
  double first = 0, last = 0, below = 0;
};

/// Training by plain gradient descent, whose updates are zero where the gradient is; `closeness` weighs `StayClose`.
Run train(double alpha, int iterations, double closeness = 0, std::uint64_t seed = 0, double from = 0) {
  Run run;
  run.student.shift.value()[0] = from;
  const RolloutOptions options{.steps = {1, 2, 4}};
  const Refl refl(process(), NoDecoder{}, Hinge{Right{}, alpha, 1.0}, options);
  const StayClose close(process(), options);
  const Data batch{Tensor<double>::zeros(Shape{64, 2}), {}};
  const Exact reference = exact();
  for (int i = 0; i < iterations; ++i) {
    auto result = refl.loss(run.student, reference, reference, batch, {seed, i});
    if (closeness > 0)
      result.loss = autograd::linear_combination(1, result.loss, closeness,
                                                 close.loss(run.student, reference, reference, batch, {seed, i}).loss);
    run.student.shift.zero_grad();
    autograd::backward(result.loss);
    for (int j = 0; j < 2; ++j) run.student.shift.value()[j] -= 0.1 * run.student.shift.grad()[j];
    (i == 0 ? run.first : run.last) = result.diagnostics[0].second.value();
    run.below = result.diagnostics[1].second.value();
  }
  return run;
}

}  // namespace

TEST_CASE("ReFL raises the reward of an exact student until the hinge is satisfied, and then changes nothing") {
  const Run some = train(2, 30), more = train(2, 600), most = train(2, 3000);
  MESSAGE("reward " << some.first << " -> " << some.last << " -> " << more.last << " -> " << most.last);
  CHECK(std::abs(some.first) < 1);
  CHECK(some.last > some.first + 0.5);
  CHECK(more.last > some.last);
  CHECK(more.below < 0.1);
  // The left cloud's centre ends at -1 + shift, its last sample within some deviations of 0.1 below that.
  CHECK(more.student.shift.value()[0] > 2.2);
  CHECK(most.student.shift.value()[0] < 3.6);
  CHECK(most.student.shift.value()[1] == 0);
  CHECK(train(1e6, 600).student.shift.value()[0] == doctest::Approx(60).epsilon(1e-9));  // no hinge, no end
  CHECK(train(2, 50, 0, 0, 4.0).student.shift.value()[0] == 4.0);                        // all are good enough
}

TEST_CASE("StayClose stops a reward that never ends where both gradients balance") {
  // d/ds (-s + w s^2 / 2) = 0 at s = 1 / w: the gap of the clean data is the shift itself, in one of two coordinates.
  CHECK(train(1e6, 300, 2).student.shift.value()[0] == doctest::Approx(0.5).epsilon(1e-6));
  CHECK(train(1e6, 300, 4).student.shift.value()[0] == doctest::Approx(0.25).epsilon(1e-6));
}

TEST_CASE("A run is a function of its seed") {
  const auto shift = [](std::uint64_t seed) { return train(1, 20, 0.1, seed).student.shift.value()[0]; };
  CHECK(shift(1) == shift(1));
  CHECK(shift(1) != shift(2));
}
