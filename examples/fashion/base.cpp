// SPDX-License-Identifier: Apache-2.0
/// Compiled once for the programs that start from the main job.

#include "fashion/shared.hpp"

namespace hypersd {
FASHION_TRAINING(, Cpu)
#if HYPERSD_HAS_CUDA
HYPERSD_OPERATION_INSTANCES(, Cuda)
HYPERSD_NETWORK_INSTANCES(, Cuda)
FASHION_TRAINING(, Cuda)
#endif
}  // namespace hypersd

namespace fashion {
FASHION_BASE(, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_BASE(, Cuda)
#endif
}  // namespace fashion
