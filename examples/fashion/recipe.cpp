// SPDX-License-Identifier: Apache-2.0
#include "fashion/instances.hpp"

namespace fashion {
FASHION_RECIPE(, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_RECIPE(, Cuda)
#endif
}  // namespace fashion
