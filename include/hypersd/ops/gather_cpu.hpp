// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::ops::backend {

template <class T>
void gather_rows(const Cpu&, T* out, const T* table, const std::int32_t* ids, std::int64_t count, std::int64_t rows,
                 std::int64_t cols) {
  for (std::int64_t i = 0; i < count; ++i)
    require<OptionError>(ids[i] >= 0 && ids[i] < rows, "id ", ids[i], " outside a table of ", rows, " rows");
  parallel_for(count, std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   std::copy(table + ids[i] * cols, table + (ids[i] + 1) * cols, out + i * cols);
               });
}

/// Serial, in the order of the ids: tables that are trained are small beside the activations.
template <class T>
void scatter_add_rows(const Cpu&, T* out, const T* g, const std::int32_t* ids, std::int64_t count, std::int64_t cols) {
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t c = 0; c < cols; ++c) out[ids[i] * cols + c] += g[i * cols + c];
}

}  // namespace hypersd::ops::backend
