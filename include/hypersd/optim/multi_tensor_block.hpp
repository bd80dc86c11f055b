// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>
#include <hypersd/optim/multi_tensor_cpu.hpp>

/// \file
/// Updates of many tensors on CUDA. Their addresses travel in the kernel's arguments, as many as fit: nothing is copied
/// to the device before a launch, so that an update can be recorded in a graph.

namespace hypersd::optim {

/// Elements of a segment that one thread block does.
inline constexpr std::int64_t multi_piece = 8192;

/// Bytes of segments in a launch: what CUDA takes as arguments (32764, before 12.1 4096) less what else there is.
#if HYPERSD_HAS_CUDA && CUDART_VERSION < 12010
inline constexpr std::size_t multi_arguments = 3968;
#else
inline constexpr std::size_t multi_arguments = 32512;
#endif

/// Consecutive segments of one launch, and the thread blocks that each of them has.
template <class S, std::size_t bytes = multi_arguments>
struct SegmentPack {
  static constexpr int capacity =
      static_cast<int>((bytes - 2 * sizeof(std::int64_t)) / (sizeof(S) + sizeof(std::int64_t)));
  static_assert(capacity >= 1);
  S segments[static_cast<std::size_t>(capacity)];
  std::int64_t ends[static_cast<std::size_t>(capacity)];  ///< number of the block after a segment's last
  std::int64_t count;

  /// Takes segments from `rest` until the pack is full; returns those that are left.
  std::span<const S> fill(std::span<const S> rest) {
    count = 0;
    std::int64_t blocks = 0;
    while (!rest.empty() && count < capacity) {
      segments[count] = rest[0];
      blocks += (rest[0].size + multi_piece - 1) / multi_piece;
      ends[count++] = blocks;
      rest = rest.subspan(1);
    }
    return rest;
  }
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return count == 0 ? 0 : ends[count - 1]; }
  /// Which segment block `b` belongs to: the first that ends behind it.
  [[nodiscard]] HYPERSD_HD std::int64_t segment_of(std::int64_t b) const {
    std::int64_t low = 0, high = count - 1;
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (ends[middle] > b)
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  }
  /// Elements [begin, end) of segment `i` that block `b` does.
  [[nodiscard]] HYPERSD_HD ops::launch::Range piece(std::int64_t i, std::int64_t b) const {
    const std::int64_t begin = (b - (i == 0 ? 0 : ends[i - 1])) * multi_piece, size = segments[i].size;
    return {begin, begin + multi_piece < size ? begin + multi_piece : size};
  }
};

/// A thread block a piece: f(x[i]...) for its elements.
template <class S, std::size_t bytes = multi_arguments>
struct MultiUpdateBlock {
  static constexpr int threads = ops::launch::threads;
  using Shared = ops::launch::NoShared;
  SegmentPack<S, bytes> pack;

  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return pack.blocks(); }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t b, Shared&) const {
    const std::int64_t i = pack.segment_of(b);
    const ops::launch::Range piece = pack.piece(i, b);
    block.each([&](int t) { with_arrays(pack.segments[i], ElementLoop<threads>{piece.begin + t, piece.end}); });
  }
};

/// A thread block a piece: partial[b] = sum of f(x[i]).
template <class S, std::size_t bytes = multi_arguments>
struct MultiSumBlock {
  static constexpr int threads = ops::launch::threads;
  using Shared = ops::launch::NoShared;
  double* partial;
  SegmentPack<S, bytes> pack;

  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return pack.blocks(); }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t b, Shared&) const {
    const std::int64_t i = pack.segment_of(b);
    const ops::launch::Range piece = pack.piece(i, b);
    const double total = block.template sum<double>([&](int t) {
      double sum = 0;
      with_arrays(pack.segments[i], [&](auto f, auto* x) {
        for (std::int64_t j = piece.begin + t; j < piece.end; j += threads) sum += f(x[j]);
      });
      return sum;
    });
    block.each([&](int t) {
      if (t == 0) partial[b] = total;
    });
  }
};

/// One block: the sum of `count` partial sums in a fixed order.
struct OrderedSumBlock {
  static constexpr int threads = ops::launch::threads;
  using Shared = ops::launch::NoShared;
  const double* partial;
  std::int64_t count;
  double* out;

  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return 1; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t, Shared&) const {
    const double total = block.template sum<double>([&](int t) {
      return ops::launch::thread_sum<threads, double>(t, count, [&](std::int64_t i) { return partial[i]; });
    });
    block.each([&](int t) {
      if (t == 0) *out = total;
    });
  }
};

namespace backend {

using ops::launch::run_blocks;

/// A launch for as many segments as fit into a kernel's arguments.
template <ops::launch::KernelDevice D, class F, class... X>
void multi_update(const D& device, std::span<const Segment<F, X...>> segments) {
  MultiUpdateBlock<Segment<F, X...>> body{};
  while (!segments.empty()) {
    segments = body.pack.fill(segments);
    run_blocks(device, "multi_update", body);
  }
}

/// Sums of pieces, then their sum: two launches where the segments fit into one.
template <ops::launch::KernelDevice D, class F, class X>
void multi_sum_into(const D& device, double* out, std::span<const Segment<F, X>> segments) {
  std::int64_t count = 0;
  for (const auto& s : segments) count += (s.size + multi_piece - 1) / multi_piece;
  const Tensor<double, D> partial(Shape{count});
  MultiSumBlock<Segment<F, X>> body{};
  body.partial = partial.data();
  while (!segments.empty()) {
    segments = body.pack.fill(segments);
    run_blocks(device, "multi_sum", body);
    body.partial += body.blocks();
  }
  run_blocks(device, "multi_sum", OrderedSumBlock{partial.data(), count, out});
}

/// Waits for the device.
template <ops::launch::KernelDevice D, class F, class X>
double multi_sum(const D& device, std::span<const Segment<F, X>> segments) {
  const Tensor<double, D> out(Shape{1});
  multi_sum_into(device, out.data(), segments);
  return out.item();
}

}  // namespace backend

}  // namespace hypersd::optim
