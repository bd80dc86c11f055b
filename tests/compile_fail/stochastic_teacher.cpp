// SPDX-License-Identifier: Apache-2.0
// EXPECT: the teacher of a consistency objective follows an ODE
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/distill/consistency.hpp>
using namespace hypersd;
template struct distill::Consistency<distill::Anywhere, diffusion::Discrete<>, distill::Mse, diffusion::Tcd>;
