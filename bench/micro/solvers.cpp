// SPDX-License-Identifier: Apache-2.0
/// Every solver on every process it takes, in float and bfloat16.
#include "register.hpp"

#include <hypersd/diffusion/processes.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/dpmpp_3m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/perflow.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/diffusion/solvers/unipc.hpp>

namespace {

using namespace hypersd;
using namespace hypersd::diffusion;

template <class Process, class T, class... Solvers>
bool all() {
  return (bench::solver<Solvers, Process, T>() && ...);
}
template <class Process>
bool on() {
  return all<Process, float, Ddim, DdimOde, Tcd, Lcm, Euler, EulerAncestral, Heun, DpmPp2M, DpmPp3M, UniPc>() &&
         all<Process, bfloat16, Ddim, Tcd, Euler, DpmPp2M>();
}

const bool registered = on<StableDiffusion>() && on<StableDiffusionV>() && on<Flow>() && on<Edm>() && on<Trig>() &&
                        all<StableDiffusion, float, PerFlow>() && all<StableDiffusion, bfloat16, PerFlow>();

}  // namespace
