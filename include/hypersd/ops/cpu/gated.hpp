// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cpu/vectorized.hpp>

namespace hypersd::ops::backend {

template <class F, class T>
void gated(const Cpu&, const F& f, std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  parallel_for(rows, std::max<std::int64_t>(1, 8192 / cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* a = x + 2 * r * cols;
      const T* gate = a + cols;
      T* out = y + r * cols;
      vectorized_loop(cols, [=](std::int64_t c) { out[c] = converted<T>(widened(a[c]) * f(widened(gate[c]))); });
    }
  });
}

template <class F, class T>
void gated_gradient(const Cpu&, const F& f, std::int64_t rows, std::int64_t cols, const T* gy, const T* x, T* gx) {
  parallel_for(rows, std::max<std::int64_t>(1, 8192 / cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* a = x + 2 * r * cols;
      const T* gate = a + cols;
      const T* g = gy + r * cols;
      T* ga = gx + 2 * r * cols;
      T* ggate = ga + cols;
      vectorized_loop(cols, [=](std::int64_t c) {
        // All is read before the first store, which may alias it:
        // both results share most of their arithmetic.
        const auto up = widened(g[c]), left = widened(a[c]), right = widened(gate[c]);
        const auto value = f(right), slope = f.template d<0>(right);
        ga[c] = converted<T>(up * value);
        ggate[c] = converted<T>(up * left * slope);
      });
    }
  });
}

}  // namespace hypersd::ops::backend
