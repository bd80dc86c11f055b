// SPDX-License-Identifier: Apache-2.0
// EXPECT: a solver needs `static constexpr const char\* name`
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
using namespace hypersd::diffusion;

struct NoName {
  struct Options {};
  static constexpr bool stochastic = false;
  Options options{};
  StepCoefficients step(const auto&, StepTimes) const { return {}; }
};
Sampler<NoName, StableDiffusion> sampler;
