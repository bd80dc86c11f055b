// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Compositions: stages, training loops, runs that can be resumed.

#include <hypersd/pipeline/autoencoder_loss.hpp>
#include <hypersd/pipeline/checkpoint.hpp>
#include <hypersd/pipeline/deferred_steps.hpp>
#include <hypersd/pipeline/denoising_loss.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <hypersd/pipeline/loss_log.hpp>
#include <hypersd/pipeline/stage_runner.hpp>
#include <hypersd/pipeline/step_result.hpp>
#include <hypersd/pipeline/train_loop.hpp>
#include <hypersd/pipeline/tuning.hpp>
#include <hypersd/pipeline/two_part_step.hpp>

#if __has_include(<nlohmann/json.hpp>)
#include <hypersd/pipeline/recipe.hpp>
#include <hypersd/pipeline/recipe_parts.hpp>
#include <hypersd/pipeline/row_mean.hpp>
#include <hypersd/pipeline/run_state.hpp>
#include <hypersd/pipeline/session.hpp>
#endif
