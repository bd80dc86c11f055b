// SPDX-License-Identifier: Apache-2.0
// EXPECT: an objective of continuous time needs a process with derivatives by time: a table of noise levels has none
#include <hypersd/distill/objectives/flow_map.hpp>
using namespace hypersd;

const distill::LagrangianFlowMap<diffusion::StableDiffusion> objective;
