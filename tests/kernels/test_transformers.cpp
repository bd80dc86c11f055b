// SPDX-License-Identifier: Apache-2.0
#include <emulated.hpp>
//
#include <transformer_runs.hpp>

#include <doctest/doctest.h>

using namespace hypersd;
using namespace network_runs;
using emulated::Kernels;

TEST_CASE("Diffusion transformers of CUDA kernels, run on the host, give the CPU's results, tangents and gradients") {
  for (const bool rms : {false, true}) CHECK(difference(dit<Kernels>(rms), dit<Cpu>(rms)) < 1e-4);
}
