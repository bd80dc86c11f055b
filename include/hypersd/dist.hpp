// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Training on several processes. What needs a library of its own stays apart: `dist/mpi.hpp` (MPI) and
/// `dist/nccl.cuh` (NCCL).

#include <hypersd/dist/communicator.hpp>
#include <hypersd/dist/deferred_mean.hpp>
#include <hypersd/dist/gradients.hpp>
#include <hypersd/dist/group.hpp>
#include <hypersd/dist/run.hpp>
