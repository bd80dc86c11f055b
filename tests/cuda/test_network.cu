// SPDX-License-Identifier: Apache-2.0
#include <network_runs.hpp>
//
#include <gpu.hpp>

using namespace hypersd;

TEST_CASE("CUDA: a UNet's result and all its gradients") {
  if (!gpu::have_device()) return;
  CHECK(network_runs::difference(network_runs::gradients<Cuda>(), network_runs::gradients<Cpu>()) < 1e-4);
}

TEST_CASE("CUDA: one training step") {
  if (!gpu::have_device()) return;
  const auto cpu = network_runs::trained<Cpu>(1), cuda = network_runs::trained<Cuda>(1);
  CHECK(static_cast<double>(cuda[0][0]) == doctest::Approx(static_cast<double>(cpu[0][0])).epsilon(1e-5));
  // AdamW's first step is the learning rate times the sign, so a gradient near 0 may differ by twice that.
  CHECK(network_runs::difference(cuda, cpu) < 2.1e-3);
}

TEST_CASE("CUDA: the losses of 20 training steps agree to 1e-4") {
  if (!gpu::have_device()) return;
  const auto cpu = network_runs::trained<Cpu>(20), cuda = network_runs::trained<Cuda>(20);
  for (std::size_t i = 0; i < 20; ++i)
    CHECK(static_cast<double>(cuda[i][0]) == doctest::Approx(static_cast<double>(cpu[i][0])).epsilon(1e-4));
}

TEST_CASE("CUDA: the sampler's loop") {
  if (!gpu::have_device()) return;
  const auto sampled = network_runs::sampled<Cuda>();
  CHECK(network_runs::difference(sampled, network_runs::sampled<Cpu>()) < 1e-3);
  CHECK(network_runs::difference(network_runs::replayed<Cuda>(), sampled) == 0);
  CHECK(network_runs::difference(network_runs::computed_in_steps<Cuda>(), network_runs::computed_in_steps<Cpu>()) <
        1e-4);
}
