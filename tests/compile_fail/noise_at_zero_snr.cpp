// SPDX-License-Identifier: Apache-2.0
// EXPECT: a noise prediction says nothing about data at zero terminal SNR
#include <hypersd/diffusion.hpp>

using namespace hypersd::diffusion;
int main() { Sampler<Ddim, Process<ZeroTerminalSnr<ScaledLinear>, Epsilon>> sampler; }
