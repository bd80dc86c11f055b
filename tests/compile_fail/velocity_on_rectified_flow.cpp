// SPDX-License-Identifier: Apache-2.0
// EXPECT: Velocity is the prediction of variance-preserving processes: use FlowVelocity
#include <hypersd/diffusion/processes.hpp>
using namespace hypersd::diffusion;

const Process<RectifiedFlow, Velocity> flow;
