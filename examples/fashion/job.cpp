// SPDX-License-Identifier: Apache-2.0
#include "fashion/job.hpp"

#include "fashion/shared.hpp"

namespace fashion {
template void execute<Cpu>(const Options&);
#if HYPERSD_HAS_CUDA
template void execute<Cuda>(const Options&);
#endif
}  // namespace fashion
