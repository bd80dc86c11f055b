// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Noise schedules, predictions, solvers, samplers, exact denoisers.

#include <hypersd/diffusion/analytic.hpp>
#include <hypersd/diffusion/apply_step.hpp>
#include <hypersd/diffusion/condition_dropout.hpp>
#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/elementwise.hpp>
#include <hypersd/diffusion/embedded_guidance.hpp>
#include <hypersd/diffusion/forward_process.hpp>
#include <hypersd/diffusion/graph_sampler.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <hypersd/diffusion/mixture.hpp>
#include <hypersd/diffusion/objective.hpp>
#include <hypersd/diffusion/prediction.hpp>
#include <hypersd/diffusion/sample_run.hpp>
#include <hypersd/diffusion/sample_scales.hpp>
#include <hypersd/diffusion/sample_table.hpp>
#include <hypersd/diffusion/sampler.hpp>
#include <hypersd/diffusion/schedule.hpp>
#include <hypersd/diffusion/schedules/cosine.hpp>
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/sde.hpp>
#include <hypersd/diffusion/solver.hpp>
#include <hypersd/diffusion/solvers/ddim.hpp>
#include <hypersd/diffusion/solvers/ddim_ode.hpp>
#include <hypersd/diffusion/solvers/dpmpp_2m.hpp>
#include <hypersd/diffusion/solvers/euler.hpp>
#include <hypersd/diffusion/solvers/euler_ancestral.hpp>
#include <hypersd/diffusion/solvers/heun.hpp>
#include <hypersd/diffusion/solvers/lcm.hpp>
#include <hypersd/diffusion/solvers/perflow.hpp>
#include <hypersd/diffusion/solvers/tcd.hpp>
#include <hypersd/diffusion/step.hpp>
#include <hypersd/diffusion/timesteps.hpp>
#include <hypersd/diffusion/zero_terminal_snr.hpp>
