// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// \file
/// A stand-in for NCCL between the processes of an MPI job, beside that for the CUDA runtime: reductions of the
/// stand-in's device memory, in stream order, recorded by captures. Needs MPI to be initialised. It refuses, on all
/// ranks and as a fault, what NCCL would compute wrongly or hang in: memory that is not allocated, communicators that
/// are destroyed, ranks that ask for different reductions.

namespace fake_cuda {

/// Reductions that have been run.
std::int64_t reductions();

}  // namespace fake_cuda
