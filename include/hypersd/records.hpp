// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What a run keeps on the disk: its folder, checkpoints, loss curves.

#include <hypersd/records/checkpoint.hpp>
#include <hypersd/records/directory.hpp>
#include <hypersd/records/loss_log.hpp>
