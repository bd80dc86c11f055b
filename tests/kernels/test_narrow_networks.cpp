// SPDX-License-Identifier: Apache-2.0
#include <narrow_networks.hpp>

using namespace narrow_networks;

TEST_CASE("bfloat16 networks: results and gradients are those of float to a few roundings") { check_all<bfloat16>(); }

TEST_CASE("A distillation step in bfloat16 by kernels is near the CPU's") {
  // The loss is a difference of near equals, so 16 bits leave its size and little more.
  const float cpu = distilled<Cpu, bfloat16>()[0][0], kernels = distilled<Kernels, bfloat16>()[0][0];
  CHECK(std::isfinite(kernels));
  CHECK(std::abs(kernels - cpu) < 0.5F * cpu);
}
