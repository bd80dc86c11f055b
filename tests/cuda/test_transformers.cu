// SPDX-License-Identifier: Apache-2.0
#include <transformer_runs.hpp>
//
#include <gpu.hpp>

using namespace hypersd;
using namespace network_runs;

TEST_CASE("CUDA: diffusion transformers") {
  if (!gpu::have_device()) return;
  // The gradients of the keys' biases are zero but for cancellation.
  for (const bool rms : {false, true}) CHECK(difference(dit<Cuda>(rms), dit<Cpu>(rms)) < 1e-3);
  CHECK(difference(pixart<Cuda>(), pixart<Cpu>()) < 1e-3);
  CHECK(difference(mmdit<Cuda>(), mmdit<Cpu>()) < 1e-3);
}
