// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/diffusion/predictions/flow_velocity.hpp>
#include <hypersd/diffusion/predictions/preconditioned.hpp>
#include <hypersd/diffusion/predictions/trig_velocity.hpp>
#include <hypersd/diffusion/process.hpp>
#include <hypersd/diffusion/schedules/rectified_flow.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/schedules/trig_flow.hpp>
#include <hypersd/diffusion/schedules/variance_exploding.hpp>

/// \file
/// Processes of published models, by name.

namespace hypersd::diffusion {

/// Stable Diffusion 1.5 and SDXL.
using StableDiffusion = Process<ScaledLinear, Epsilon>;
/// Stable Diffusion 2.1.
using StableDiffusionV = Process<ScaledLinear, Velocity>;
/// Flow matching on straight lines: SD3, FLUX.
using Flow = Process<RectifiedFlow, FlowVelocity>;
/// Elucidated diffusion models.
using Edm = Process<VarianceExploding, Preconditioned>;
/// sCM's process.
using Trig = Process<TrigFlow, TrigVelocity>;

}  // namespace hypersd::diffusion
