// SPDX-License-Identifier: Apache-2.0
// EXPECT: an epsilon prediction says nothing about data at zero terminal SNR: use Velocity or X0
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedules/zero_terminal_snr.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>

using namespace hypersd::diffusion;
int main() { Sampler<Ddim, Process<ZeroTerminalSnr<ScaledLinear>, Epsilon>> sampler; }
