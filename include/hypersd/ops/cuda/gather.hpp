// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/fill.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>

namespace hypersd::ops::launch {

/// out[i, c] = table[ids[i], c]; zeros for an id outside the table, because a kernel cannot throw.
template <class T>
struct EmbeddingElements {
  const T* table;
  std::int64_t rows, cols;
  const std::int32_t* ids;
  std::int64_t count;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t size() const { return count * cols; }
  template <class Index>
  HYPERSD_HD void operator()(Index i) const {
    const auto [r, c] = divide(i, cols);
    const std::int64_t id = ids[r];
    out[i] = id >= 0 && id < rows ? table[id * cols + c] : T(0);
  }
};

/// Gradient of an embedding, added to zeros without atomics: the thread block of an id's first occurrence adds up all
/// its rows, in the order of the ids; the other thread blocks return.
template <class T>
struct EmbeddingGradientKernel {
  static constexpr int threads = 128;
  using Shared = NoShared;
  const T* g;
  std::int64_t rows, cols;
  const std::int32_t* ids;
  std::int64_t count;
  T* out;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return count; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared&) const {
    const std::int32_t id = ids[i];
    if (id < 0 || id >= rows) return;
    const int earlier = row_sum<threads, int>(block, i, [&](std::int64_t j) { return ids[j] == id ? 1 : 0; });
    if (earlier > 0) return;
    each_column<threads>(block, cols, [&](std::int64_t c) {
      Accumulator<T> total = 0;
      for (std::int64_t j = i; j < count; ++j)
        if (ids[j] == id) total += g[j * cols + c];
      out[id * cols + c] = converted<T>(total);
    });
  }
};

}  // namespace hypersd::ops::launch

namespace hypersd::ops::backend {

template <launch::KernelDevice D, class T>
void embedding(const D& device, const T* table, std::int64_t rows, std::int64_t cols, const std::int32_t* ids,
               std::int64_t count, T* out) {
  run_elements(device, "embedding", launch::EmbeddingElements<T>{table, rows, cols, ids, count, out});
}

template <launch::KernelDevice D, class T>
void embedding_gradient(const D& device, const T* g, std::int64_t rows, std::int64_t cols, const std::int32_t* ids,
                        std::int64_t count, T* out) {
  fill(device, "embedding_gradient", out, T(0), rows * cols);
  run_blocks(device, "embedding_gradient", launch::EmbeddingGradientKernel<T>{g, rows, cols, ids, count, out});
}

}  // namespace hypersd::ops::backend
