// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Training loops, phases and recipes. Checkpoints, and the headers that use them, need zlib.

#include <hypersd/pipeline/stop.hpp>
#include <hypersd/pipeline/task.hpp>
#include <hypersd/pipeline/tuning.hpp>

#if __has_include(<zlib.h>)
#include <hypersd/pipeline/phase.hpp>
#include <hypersd/pipeline/recipe.hpp>
#include <hypersd/pipeline/session.hpp>
#include <hypersd/pipeline/train_loop.hpp>
#endif
