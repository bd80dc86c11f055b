// SPDX-License-Identifier: Apache-2.0
// EXPECT: Sampler<Solver, Process, Guidance>: the second argument must be a process
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
using namespace hypersd::diffusion;

Sampler<StableDiffusion, Tcd> sampler;
