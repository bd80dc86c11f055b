// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Training loops, phases and recipes. Checkpoints need zlib.

#include <hypersd/pipeline/phase.hpp>
#include <hypersd/pipeline/recipe.hpp>
#include <hypersd/pipeline/session.hpp>
#include <hypersd/pipeline/stop.hpp>
#include <hypersd/pipeline/task.hpp>
#include <hypersd/pipeline/train_loop.hpp>
#include <hypersd/pipeline/tuning.hpp>
