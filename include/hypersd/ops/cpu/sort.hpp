// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <numeric>
#include <vector>

namespace hypersd::ops {

/// Order of sorted elements.
enum class Order { ascending, descending };

}  // namespace hypersd::ops

namespace hypersd::ops::backend {

/// a > b, where NaN is larger than any number: a strict weak order.
template <class T>
bool greater(T a, T b) {
  if constexpr (Floating<T>)
    if (a != a || b != b) return a != a && b == b;  // NOLINT(misc-redundant-expression)
  return a > b;
}

/// Calls f(row of x, indices 0 ... cols - 1, values, indices of the result) for every row, in parallel; f sorts the
/// indices.
template <class T, class F>
void for_sorted_rows(std::int64_t rows, std::int64_t cols, std::int64_t kept, const T* x, T* values,
                     std::int32_t* indices, F&& f) {
  parallel_for(rows, std::max<std::int64_t>(1, 4096 / cols), [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(cols));
    for (std::int64_t r = begin; r < end; ++r) {
      const T* row = x + r * cols;
      std::iota(order.begin(), order.end(), 0);
      f(row, order);
      std::copy_n(order.begin(), kept, indices + r * kept);
      for (std::int64_t i = 0; i < kept; ++i) values[r * kept + i] = row[order[static_cast<std::size_t>(i)]];
    }
  });
}

template <class T>
void sort_rows(const Cpu&, Order order, std::int64_t rows, std::int64_t cols, const T* x, T* values,
               std::int32_t* indices) {
  for_sorted_rows(rows, cols, cols, x, values, indices, [&](const T* row, std::vector<std::int32_t>& at) {
    if (order == Order::descending)
      std::stable_sort(at.begin(), at.end(), [&](std::int32_t a, std::int32_t b) { return greater(row[a], row[b]); });
    else
      std::stable_sort(at.begin(), at.end(), [&](std::int32_t a, std::int32_t b) { return greater(row[b], row[a]); });
  });
}

template <class T>
void top_k_rows(const Cpu&, std::int64_t rows, std::int64_t cols, std::int64_t k, const T* x, T* values,
                std::int32_t* indices) {
  for_sorted_rows(rows, cols, k, x, values, indices, [&](const T* row, std::vector<std::int32_t>& at) {
    // Ties are broken by the index, so that the result is that of a stable sort.
    std::partial_sort(at.begin(), at.begin() + k, at.end(), [&](std::int32_t a, std::int32_t b) {
      return greater(row[a], row[b]) || (!greater(row[b], row[a]) && a < b);
    });
  });
}

}  // namespace hypersd::ops::backend
