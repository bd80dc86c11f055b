// SPDX-License-Identifier: Apache-2.0
// EXPECT: a solver needs `StepCoefficients step\(process, StepTimes\) const`
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>

struct NoStep {
  struct Options {};
  static constexpr const char* name = "no_step";
  static constexpr bool stochastic = false;
  Options options{};
};
hypersd::diffusion::Sampler<NoStep, hypersd::diffusion::StableDiffusion> sampler;
