// SPDX-License-Identifier: Apache-2.0
#include <fake_cuda/cases/check.hpp>
#include <pipeline/critic_runs.hpp>
#include <pipeline/denoising_runs.hpp>

using namespace hypersd;
using denoising_runs::train;
using fake_cuda::Clean;

TEST_CASE("training waits only where a line of the loss curve is due") {
  const Clean clean;
  (void)train<float, Cuda>(false, 1);  // what is created once
  fake_cuda::reset();
  (void)train<float, Cuda>(false, 4);
  const auto short_run = fake_cuda::counts();
  fake_cuda::reset();
  (void)train<float, Cuda>(false, 12);
  const auto long_run = fake_cuda::counts();
  CHECK(long_run.synchronisations - short_run.synchronisations == 2);  // a line every 4 steps
  CHECK(long_run.graphs == 0);
}

TEST_CASE("a step of a capturable task is one graph") {
  const Clean clean;
  (void)train<float, Cuda>(true, 1);
  fake_cuda::reset();
  (void)train<float, Cuda>(true, 4);
  const auto short_run = fake_cuda::counts();
  fake_cuda::reset();
  (void)train<float, Cuda>(true, 12);
  const auto long_run = fake_cuda::counts();
  CHECK(short_run.graphs == 2);  // the first two steps are not recorded
  CHECK(long_run.graphs == 10);
  CHECK(long_run.synchronisations - short_run.synchronisations == 2);
}

TEST_CASE("a step that trains a critic is one graph too, and without one it does not wait") {
  const Clean clean;
  (void)critic_runs::train<Cuda, true>(1);
  fake_cuda::reset();
  (void)critic_runs::train<Cuda, true>(4);
  const auto short_run = fake_cuda::counts();
  fake_cuda::reset();
  (void)critic_runs::train<Cuda, true>(12);
  const auto long_run = fake_cuda::counts();
  CHECK(short_run.graphs == 2);
  CHECK(long_run.graphs == 10);
  CHECK(long_run.synchronisations - short_run.synchronisations == 2);
  fake_cuda::reset();
  (void)critic_runs::train<Cuda, false>(4);
  const auto short_plain = fake_cuda::counts();
  fake_cuda::reset();
  (void)critic_runs::train<Cuda, false>(12);
  const auto long_plain = fake_cuda::counts();
  CHECK(long_plain.graphs == 0);
  CHECK(long_plain.synchronisations - short_plain.synchronisations == 2);
}

TEST_CASE("norm, decision, AdamW and average of a step are four launches") {
  const Clean clean;
  const denoising_runs::Net<float, Cuda> net;
  const auto parameters = net.parameters();
  optim::AdamW<float, Cuda> adamw(parameters);
  optim::Ema<float, Cuda> ema(parameters);
  optim::EnqueuedSteps<float, Cuda> update(adamw, &ema, 1.0, 10);
  for (auto p : parameters) p.var.set_grad(Tensor<float, Cuda>::ones(p.var.shape()));
  const auto loss = Tensor<float, Cuda>::ones(Shape{1});
  update.prepare(1e-3);
  fake_cuda::reset();
  update.enqueue(loss);
  update.done();
  CHECK(fake_cuda::counts().kernels == 4);
  CHECK(fake_cuda::counts().uploads == 0);
  CHECK(fake_cuda::counts().synchronisations == 0);
}
