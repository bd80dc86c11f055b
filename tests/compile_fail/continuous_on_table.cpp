// SPDX-License-Identifier: Apache-2.0
// EXPECT: an objective of continuous time needs a process with derivatives by time: a table of noise levels has none
#include <hypersd/diffusion/processes.hpp>
#include <hypersd/distill/objectives/continuous_consistency.hpp>
using namespace hypersd;

const distill::ContinuousTscd<4, diffusion::StableDiffusion> objective;
