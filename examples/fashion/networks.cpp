// SPDX-License-Identifier: Apache-2.0
#include "fashion/shared.hpp"

namespace hypersd {
FASHION_NETWORKS(, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_NETWORKS(, Cuda)
#endif
}  // namespace hypersd
