// SPDX-License-Identifier: Apache-2.0
// EXPECT: DiffusionProcess<Process>'.*Tcd|Tcd' does not satisfy 'DiffusionProcess'
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
using namespace hypersd::diffusion;

Sampler<StableDiffusion, Tcd> sampler;
