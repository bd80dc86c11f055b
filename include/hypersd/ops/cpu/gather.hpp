// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/elements.hpp>
#include <type_traits>

namespace hypersd::ops::backend {

template <class T>
void embedding(const Cpu&, const std::type_identity_t<Elements<T>>& table, std::int64_t rows, std::int64_t cols,
               const std::int32_t* ids, std::int64_t count, T* out) {
  parallel_for(count, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   require<OptionError>(ids[i] >= 0 && ids[i] < rows, "embedding: id ", ids[i], " not in [0, ", rows,
                                        ")");
                   table.from(ids[i] * cols).copy(cols, out + i * cols);
                 }
               });
}

/// Each task writes a range of the table and goes through all ids, so that no two write the same row.
template <class T>
void embedding_gradient(const Cpu&, const T* g, std::int64_t rows, std::int64_t cols, const std::int32_t* ids,
                        std::int64_t count, T* out) {
  parallel_for(rows, std::max<std::int64_t>(64, (rows + 7) / 8), [&](std::int64_t begin, std::int64_t end) {
    std::fill(out + begin * cols, out + end * cols, T(0));
    for (std::int64_t i = 0; i < count; ++i) {
      if (ids[i] < begin || ids[i] >= end) continue;
      const T* from = g + i * cols;
      T* to = out + ids[i] * cols;
      for (std::int64_t c = 0; c < cols; ++c) to[c] += from[c];
    }
  });
}

}  // namespace hypersd::ops::backend
