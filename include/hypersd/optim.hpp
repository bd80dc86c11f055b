// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Optimisers, schedules, clipping, averages.

#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/adamw_update.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/counted_steps.hpp>
#include <hypersd/optim/ema.hpp>
#include <hypersd/optim/enqueued_steps.hpp>
#include <hypersd/optim/multi_tensor.hpp>
#include <hypersd/optim/multi_tensor_cuda.hpp>
#include <hypersd/optim/parameters.hpp>
#include <hypersd/optim/schedule.hpp>
