// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// What a run keeps on the disk: its folder, checkpoints, loss curves. Checkpoints need zlib.

#include <hypersd/records/directory.hpp>
#include <hypersd/records/loss_log.hpp>

#if __has_include(<zlib.h>)
#include <hypersd/records/checkpoint.hpp>
#endif
