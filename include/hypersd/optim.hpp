// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Optimisers, schedules, clipping, averages.

#include <hypersd/optim/adamw.hpp>
#include <hypersd/optim/clip.hpp>
#include <hypersd/optim/deferred_adamw.hpp>
#include <hypersd/optim/deferred_elements.hpp>
#include <hypersd/optim/ema.hpp>
#include <hypersd/optim/multi_tensor.hpp>
#include <hypersd/optim/multi_tensor_block.hpp>
#include <hypersd/optim/parameters.hpp>
#include <hypersd/optim/schedule.hpp>
