// SPDX-License-Identifier: Apache-2.0
// EXPECT: a solver needs `static constexpr bool stochastic`
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
using namespace hypersd::diffusion;

struct NoKind {
  struct Options {};
  static constexpr const char* name = "no_kind";
  Options options{};
  StepCoefficients step(const auto&, StepTimes) const { return {}; }
};
Sampler<NoKind, StableDiffusion> sampler;
