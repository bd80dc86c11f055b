// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/normal_blocks.hpp>
#include <hypersd/core/parallel.hpp>
#include <hypersd/core/tensor.hpp>

namespace hypersd::ops::backend {

/// Calls sink(begin, end, noise) for pieces of [begin, end): noise[i - begin] is element offset + i of the stream.
/// Pieces end at Philox blocks, of which sixteen are drawn at a time.
template <class Sink>
void for_each_normal_piece(std::int64_t begin, std::int64_t end, Stream s, std::int64_t offset, Sink&& sink) {
  constexpr std::int64_t most = 16 * philox_block;
  alignas(64) float noise[most];
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t element = offset + i;
    const std::int64_t block = element / philox_block, skip = element % philox_block;
    const std::int64_t stop = std::min(end, i + most - skip);
    normal_blocks(s, static_cast<std::uint64_t>(block), (skip + stop - i + philox_block - 1) / philox_block, noise);
    sink(i, stop, noise + skip);
    i = stop;
  }
}

template <class T>
void normal(const Cpu&, T* out, std::int64_t n, Stream s, std::int64_t offset) {
  parallel_for(n, 16384, [&](std::int64_t begin, std::int64_t end) {
    for_each_normal_piece(begin, end, s, offset, [&](std::int64_t from, std::int64_t to, const float* noise) {
      for (std::int64_t i = from; i < to; ++i) out[i] = converted<T>(noise[i - from]);
    });
  });
}

template <class T>
void uniform(const Cpu&, T* out, std::int64_t n, Stream s, std::int64_t offset, Accumulator<T> low,
             Accumulator<T> high) {
  parallel_for(n, 16384, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      out[i] = converted<T>(
          low + (high - low) * static_cast<Accumulator<T>>(uniform_at(s, static_cast<std::uint64_t>(offset + i))));
  });
}

}  // namespace hypersd::ops::backend
