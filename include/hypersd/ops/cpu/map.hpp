// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/device.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/ops/cpu/vectorized.hpp>
#include <hypersd/ops/operand.hpp>

namespace hypersd::ops::backend {

/// out[r, c] = f(args[r, c]...) on host threads; the inner loop is over contiguous columns and vectorises.
template <class R, class F, class... Args>
void map(const Cpu&, R* out, detail::Layout layout, const F& f, const Args&... args) {
  constexpr std::int64_t target = 16384;  // elements a task: some ten microseconds, and within the L2 cache
  const std::int64_t cols = layout.cols;
  if (layout.rows == 1) {
    parallel_for(cols, target, [&](std::int64_t begin, std::int64_t end) {
      auto loop = [&](auto... cursor) {
        vectorized_loop(end - begin, [=, o = out + begin](std::int64_t c) {
          o[c] = converted<R>(f(widened(cursor[begin + c])...));
        });
      };
      loop(args.row(0, cols)...);
    });
    return;
  }
  parallel_for(layout.rows, std::max<std::int64_t>(1, target / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t r = begin; r < end; ++r) {
                   auto loop = [&](auto... cursor) {
                     vectorized_loop(cols, [=, o = out + r * cols](std::int64_t c) {
                       o[c] = converted<R>(f(widened(cursor[c])...));
                     });
                   };
                   loop(args.row(r, cols)...);
                 }
               });
}

}  // namespace hypersd::ops::backend
