// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Training loops, phases and recipes, runs that can be resumed. Checkpoints, and the headers that use them, need zlib.

#include <hypersd/pipeline/autoencoder_loss.hpp>
#include <hypersd/pipeline/deferred_steps.hpp>
#include <hypersd/pipeline/denoising.hpp>
#include <hypersd/pipeline/hooks.hpp>
#include <hypersd/pipeline/loss_log.hpp>
#include <hypersd/pipeline/row_mean.hpp>
#include <hypersd/pipeline/run_state.hpp>
#include <hypersd/pipeline/stop.hpp>
#include <hypersd/pipeline/task.hpp>
#include <hypersd/pipeline/tuning.hpp>

#if __has_include(<zlib.h>)
#include <hypersd/pipeline/checkpoint.hpp>
#include <hypersd/pipeline/phase.hpp>
#include <hypersd/pipeline/recipe.hpp>
#include <hypersd/pipeline/session.hpp>
#include <hypersd/pipeline/train_loop.hpp>
#endif
