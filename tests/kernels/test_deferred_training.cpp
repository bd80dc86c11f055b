// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <pipeline/critic_runs.hpp>
#include <pipeline/denoising_runs.hpp>

#include <cmath>

#include <doctest/doctest.h>

using namespace hypersd;
using denoising_runs::train;
using emulated::Kernels;

TEST_CASE("Training on a GPU, whose host does not wait, is training on the CPU") {
  const auto cpu = train<float, Cpu>(false);
  for (const bool as_task : {false, true}) {
    CAPTURE(as_task);
    const auto gpu = train<float, Kernels>(as_task);
    REQUIRE(gpu.parameters.size() == cpu.parameters.size());
    double worst = 0;
    for (std::size_t i = 0; i < gpu.parameters.size(); ++i)
      worst = std::max(worst, std::abs(static_cast<double>(gpu.parameters[i] - cpu.parameters[i])));
    CHECK(worst < 1e-5);
    REQUIRE(gpu.rows.size() == cpu.rows.size());
    for (std::size_t i = 0; i < gpu.rows.size(); ++i) {
      CHECK(gpu.rows[i].step == cpu.rows[i].step);
      CHECK(gpu.rows[i].loss == doctest::Approx(cpu.rows[i].loss).epsilon(1e-5));
      CHECK(gpu.rows[i].grad_norm == doctest::Approx(cpu.rows[i].grad_norm).epsilon(1e-5));
      CHECK(gpu.rows[i].learning_rate == cpu.rows[i].learning_rate);
    }
    CHECK(gpu.report.step == 11);
  }
}

TEST_CASE("A step that is not finite is named when it is found") {
  for (const bool as_task : {false, true})
    CHECK_THROWS_WITH_AS((train<float, Kernels>(as_task, 11, 5)), doctest::Contains("step 6 of 11: the loss is"),
                         NumericError);
}

TEST_CASE("A critic that learns in the steps of a GPU, captured or not, is the CPU's") {
  const auto cpu = critic_runs::train<Cpu, false>();
  const auto enqueued = critic_runs::train<Kernels, false>(), captured = critic_runs::train<Kernels, true>();
  CHECK(captured.generator == enqueued.generator);
  CHECK(captured.critic == enqueued.critic);
  CHECK(captured.report.loss == enqueued.report.loss);
  CHECK(captured.names == cpu.names);
  CHECK(cpu.report.loss == doctest::Approx(captured.report.loss).epsilon(1e-5));
  REQUIRE(captured.critic.size() == cpu.critic.size());
  for (std::size_t i = 0; i < cpu.critic.size(); ++i) CHECK(std::abs(captured.critic[i] - cpu.critic[i]) < 1e-5);
  CHECK(captured.critic.back() == 11);  // updates of the last parameter
  // The critic matters, and so does clipping its gradients: another number of steps is another critic.
  CHECK(std::abs(critic_runs::train<Kernels, true>(12).critic[0] - captured.critic[0]) > 1e-3);
}

TEST_CASE("bfloat16 training of CUDA kernels, run on the host, is the CPU's to rounding") {
  const auto cpu = train<bfloat16, Cpu>(true), gpu = train<bfloat16, Kernels>(true);
  CHECK(gpu.report.loss == doctest::Approx(cpu.report.loss).epsilon(0.01));
}
