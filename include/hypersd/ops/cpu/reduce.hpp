// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/parallel.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/operand.hpp>
#include <vector>

namespace hypersd::ops::backend {

template <class T, class F, class... Args>
void map_sum(const Cpu&, T* out, detail::Layout layout, const F& f, const Args&... args) {
  constexpr std::int64_t lanes = 16, target = 16384;
  const std::int64_t cols = layout.cols;
  // Chunks of whole rows, or of columns if there is one row. Their partial sums are added in order.
  const bool flat = layout.rows == 1;
  const std::int64_t n = flat ? cols : layout.rows;
  const std::int64_t grain = flat ? target : std::max<std::int64_t>(1, target / std::max<std::int64_t>(1, cols));
  std::vector<double> partial(static_cast<std::size_t>((n + grain - 1) / grain), 0.0);
  parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
    double total = 0;
    auto loop = [&](std::int64_t from, std::int64_t to, auto... cursor) {
      double acc[lanes] = {};
      std::int64_t c = from;
      for (; c + lanes <= to; c += lanes)
        for (std::int64_t l = 0; l < lanes; ++l) acc[l] += static_cast<double>(f(widened(cursor[c + l])...));
      for (; c < to; ++c) acc[0] += static_cast<double>(f(widened(cursor[c])...));
      for (const double a : acc) total += a;
    };
    if (flat)
      loop(begin, end, args.row(0, cols)...);
    else
      for (std::int64_t r = begin; r < end; ++r) loop(0, cols, args.row(r, cols)...);
    partial[static_cast<std::size_t>(begin / grain)] = total;
  });
  double total = 0;
  for (const double p : partial) total += p;
  *out = converted<T>(total);
}

/// Adds `rows` rows of `width` columns, a compile-time number that keeps the sums in registers.
template <int width, class R, class T>
void sum_column_block(R* out, const T* in, std::int64_t rows, std::int64_t stride) {
  Accumulator<T> acc[width] = {};
  for (std::int64_t r = 0; r < rows; ++r, in += stride)
    for (int c = 0; c < width; ++c) acc[c] += in[c];
  for (int c = 0; c < width; ++c) out[c] = converted<R>(acc[c]);
}

/// out[c] = sum over r of in[r, c].
template <class R, class T>
void sum_columns(R* out, const T* in, std::int64_t rows, std::int64_t cols) {
  std::int64_t c = 0;
  for (; c + 64 <= cols; c += 64) sum_column_block<64>(out + c, in + c, rows, cols);
  for (; c + 16 <= cols; c += 16) sum_column_block<16>(out + c, in + c, rows, cols);
  for (; c < cols; ++c) sum_column_block<1>(out + c, in + c, rows, cols);
}

/// out[g, c] = sum over r of in[g, r, c].
template <class T>
void sum_rows(const Cpu&, T* out, const T* in, std::int64_t groups, std::int64_t rows, std::int64_t cols) {
  if (groups > 1 || rows < 512) {
    parallel_for(groups, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, rows * cols)),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t g = begin; g < end; ++g)
                     sum_columns(out + g * cols, in + g * rows * cols, rows, cols);
                 });
    return;
  }
  // Long columns: sixteen slabs of rows, added in order.
  constexpr std::int64_t slabs = 16;
  const std::int64_t per = (rows + slabs - 1) / slabs;
  std::vector<Accumulator<T>> partial(static_cast<std::size_t>(slabs * cols));
  parallel_for(slabs, 1, [&](std::int64_t s, std::int64_t) {
    const std::int64_t begin = std::min(rows, s * per), end = std::min(rows, begin + per);
    sum_columns(partial.data() + s * cols, in + begin * cols, end - begin, cols);
  });
  sum_columns(out, partial.data(), slabs, cols);
}

/// out[r] = sum over c of in[r, c].
template <class T>
void sum_rows_to_one(const Cpu&, T* out, const T* in, std::int64_t rows, std::int64_t cols) {
  parallel_for(rows, std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, cols)),
               [&](std::int64_t begin, std::int64_t end) {
                 constexpr std::int64_t lanes = 16;
                 for (std::int64_t r = begin; r < end; ++r) {
                   Accumulator<T> acc[lanes] = {};
                   const T* i = in + r * cols;
                   std::int64_t c = 0;
                   for (; c + lanes <= cols; c += lanes)
                     for (std::int64_t l = 0; l < lanes; ++l) acc[l] += i[c + l];
                   for (; c < cols; ++c) acc[0] += i[c];
                   Accumulator<T> total = 0;
                   for (const auto a : acc) total += a;
                   out[r] = converted<T>(total);
                 }
               });
}

}  // namespace hypersd::ops::backend
