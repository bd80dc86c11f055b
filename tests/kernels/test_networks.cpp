// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <other_network_runs.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace network_runs;
using emulated::Kernels;

TEST_CASE("Autoencoder, text encoder and classifier of CUDA kernels, run on the host, are the CPU's") {
  CHECK(difference(autoencoder<Kernels>(), autoencoder<Cpu>()) < 1e-4);
  CHECK(difference(text_encoder<Kernels>(), text_encoder<Cpu>()) < 1e-4);
  CHECK(difference(classifier<Kernels>(), classifier<Cpu>()) < 1e-4);
}

TEST_CASE("A distillation step of CUDA kernels, run on the host, is the CPU's") {
  CHECK(difference(distilled<Kernels>(), distilled<Cpu>()) < 1e-3);
}
