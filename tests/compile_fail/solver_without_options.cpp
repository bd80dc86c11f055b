// SPDX-License-Identifier: Apache-2.0
// EXPECT: a solver needs a nested `Options`
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
using namespace hypersd::diffusion;

struct NoOptions {
  static constexpr const char* name = "no_options";
  static constexpr bool stochastic = false;
  StepCoefficients step(const auto&, StepTimes) const { return {}; }
};
Sampler<NoOptions, StableDiffusion> sampler;
