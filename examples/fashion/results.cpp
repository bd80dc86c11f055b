// SPDX-License-Identifier: Apache-2.0
#include "fashion/instances.hpp"

namespace fashion {
FASHION_RESULTS(, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_RESULTS(, Cuda)
#endif
}  // namespace fashion
