// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <network_runs.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using emulated::Kernels;

TEST_CASE("A UNet of CUDA kernels, run on the host, gives the CPU's result, gradients, training and samples") {
  CHECK(network_runs::difference(network_runs::gradients<Kernels>(), network_runs::gradients<Cpu>()) < 1e-4);
  CHECK(network_runs::difference(network_runs::trained<Kernels>(2), network_runs::trained<Cpu>(2)) < 1e-3);
  const auto sampled = network_runs::sampled<Kernels>();
  CHECK(network_runs::difference(sampled, network_runs::sampled<Cpu>()) < 1e-3);
  CHECK(network_runs::difference(network_runs::replayed<Kernels>(), sampled) == 0);
}

TEST_CASE("Steps of CUDA kernels, run on the host, evaluate an exact denoiser as the CPU does") {
  CHECK(network_runs::difference(network_runs::computed_in_steps<Kernels>(), network_runs::computed_in_steps<Cpu>()) <
        1e-5);
}
