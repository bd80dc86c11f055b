// SPDX-License-Identifier: Apache-2.0
#include "fashion/shared.hpp"

namespace fashion {
FASHION_BASE(, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_BASE(, Cuda)
#endif
}  // namespace fashion
