// SPDX-License-Identifier: Apache-2.0
#include <other_network_runs.hpp>
//
#include <gpu.hpp>

using namespace hypersd;
using namespace network_runs;

TEST_CASE("CUDA: autoencoder, text encoder and classifier") {
  if (!gpu::have_device()) return;
  CHECK(difference(autoencoder<Cuda>(), autoencoder<Cpu>()) < 1e-4);
  CHECK(difference(text_encoder<Cuda>(), text_encoder<Cpu>()) < 1e-4);
  CHECK(difference(classifier<Cuda>(), classifier<Cpu>()) < 1e-4);
}

TEST_CASE("CUDA: a distillation step of a LoRA") {
  if (!gpu::have_device()) return;
  CHECK(difference(distilled<Cuda>(), distilled<Cpu>()) < 1e-3);
}
