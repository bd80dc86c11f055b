// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "job.hpp"
#include "shared.hpp"

/// \file
/// What several translation units of the main job use is compiled in one of them: recipe.cpp and results.cpp, and what
/// shared.hpp declares. So no code is compiled twice and two compilers work at once. `HOW` is `extern` or nothing.

/// The job and the parts of the method.
#define FASHION_RECIPE(HOW, D)                                                                           \
  HOW template void execute<D>(const Options&);                                                          \
  HOW template Net<D> distil_tcd<D>(const Run&, const RealBatches<D>&, const Teacher<D>&, std::int64_t); \
  HOW template Net<D> dmd_from_teacher<D>(const Run&, const Dataset&, const Teacher<D>&, diffusion::Time);

/// Measures, pictures and the report.
#define FASHION_RESULTS(HOW, D)                                                   \
  HOW template void show_results<D>(const Run&, const Dataset&, const Models<D>&, \
                                    std::chrono::steady_clock::time_point);

namespace fashion {
FASHION_RECIPE(extern, Cpu)
FASHION_RESULTS(extern, Cpu)
#if HYPERSD_HAS_CUDA
FASHION_RECIPE(extern, Cuda)
FASHION_RESULTS(extern, Cuda)
#endif
}  // namespace fashion
