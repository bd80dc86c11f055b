// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Noise schedules, predictions, solvers, samplers, exact denoisers.

#include <hypersd/diffusion/denoiser.hpp>
#include <hypersd/diffusion/guidance.hpp>
#include <hypersd/diffusion/jump.hpp>
#include <hypersd/diffusion/prediction.hpp>
#include <hypersd/diffusion/schedule.hpp>
#include <hypersd/diffusion/schedules/cosine.hpp>
#include <hypersd/diffusion/schedules/linear.hpp>
#include <hypersd/diffusion/schedules/scaled_linear.hpp>
#include <hypersd/diffusion/solver.hpp>
#include <hypersd/diffusion/step.hpp>
#include <hypersd/diffusion/zero_terminal_snr.hpp>
