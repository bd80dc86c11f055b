// SPDX-License-Identifier: Apache-2.0
// EXPECT: Solver<.*NoStep|'NoStep' does not satisfy 'Solver'
#include <hypersd/diffusion.hpp>

struct NoStep {
  struct Options {};
};
int main() {
  hypersd::diffusion::Sampler<NoStep, hypersd::diffusion::ScaledLinear, hypersd::diffusion::Epsilon> sampler;
}
