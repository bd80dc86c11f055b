// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <numeric>

namespace hypersd::ops {

/// Whether a prefix sum has its own element.
enum class Prefix { inclusive, exclusive };

}  // namespace hypersd::ops

namespace hypersd::ops::backend {

template <Prefix prefix, class T>
void scan_rows(const Cpu&, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  parallel_for(rows, std::max<std::int64_t>(1, 16384 / cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* row = x + r * cols;
      if constexpr (prefix == Prefix::inclusive)
        std::inclusive_scan(row, row + cols, y + r * cols);
      else
        std::exclusive_scan(row, row + cols, y + r * cols, T(0));
    }
  });
}

}  // namespace hypersd::ops::backend
