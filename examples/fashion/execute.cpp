// SPDX-License-Identifier: Apache-2.0
/// The job for each device. It takes longest to compile; its name makes it the first of the program's files to start.

#include "fashion/job.hpp"

#include "fashion/shared.hpp"

namespace fashion {
template void execute<Cpu>(const Options&);
#if HYPERSD_HAS_CUDA
template void execute<Cuda>(const Options&);
#endif
}  // namespace fashion
