// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <transformer_runs.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace network_runs;
using emulated::Kernels;

TEST_CASE("Diffusion transformers of CUDA kernels, run on the host, give the CPU's results, tangents and gradients") {
  // The gradients of the keys' biases are zero but for cancellation.
  for (const bool rms : {false, true}) CHECK(difference(dit<Kernels>(rms), dit<Cpu>(rms)) < 1e-3);
  CHECK(difference(pixart<Kernels>(), pixart<Cpu>()) < 1e-3);
  CHECK(difference(mmdit<Kernels>(), mmdit<Cpu>()) < 1e-3);
}
