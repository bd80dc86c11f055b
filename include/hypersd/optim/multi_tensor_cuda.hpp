// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>
#include <hypersd/optim/multi_tensor_cpu.hpp>

/// \file
/// Updates of many tensors on CUDA. Their addresses are kernel arguments, as many as fit: nothing is copied to the
/// device before a launch, so that an update is capturable in a graph.

namespace hypersd::optim {

/// Elements of a segment for one thread block.
inline constexpr std::int64_t multi_piece = 8192;

/// Bytes of segments in a launch: the limit of kernel arguments (32764, before CUDA 12.1 4096) less the other
/// arguments.
#if HYPERSD_HAS_CUDA && CUDART_VERSION < 12010
inline constexpr std::size_t multi_arguments = 3968;
#else
inline constexpr std::size_t multi_arguments = 32512;
#endif

/// Consecutive segments of one launch, and the thread blocks of each.
template <class S, std::size_t bytes = multi_arguments>
struct SegmentPack {
  static constexpr int capacity =
      static_cast<int>((bytes - 2 * sizeof(std::int64_t)) / (sizeof(S) + sizeof(std::int64_t)));
  static_assert(capacity >= 1);
  S segments[static_cast<std::size_t>(capacity)];
  std::int64_t ends[static_cast<std::size_t>(capacity)];  ///< one past the last thread block of a segment
  std::int64_t count;

  /// Takes segments from `rest` until the pack is full; returns the remaining ones.
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
  /// The segment of thread block `b`.
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
  /// Elements [begin, end) of segment `i` for thread block `b`.
  [[nodiscard]] HYPERSD_HD ops::launch::Range piece(std::int64_t i, std::int64_t b) const {
    const std::int64_t begin = (b - (i == 0 ? 0 : ends[i - 1])) * multi_piece, size = segments[i].size;
    return {begin, begin + multi_piece < size ? begin + multi_piece : size};
  }
};

/// A thread block a piece: f(x[i]...) for its elements.
template <class S, std::size_t bytes = multi_arguments>
struct MultiUpdateKernel {
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
struct MultiSumKernel {
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

/// One thread block: the sum of `count` partial sums in a fixed order.
struct OrderedSumKernel {
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

/// One launch for as many segments as fit into the kernel arguments.
template <ops::launch::KernelDevice D, class F, class... X>
void multi_update(const D& device, std::span<const Segment<F, X...>> segments) {
  MultiUpdateKernel<Segment<F, X...>> kernel{};
  while (!segments.empty()) {
    segments = kernel.pack.fill(segments);
    run_blocks(device, "multi_update", kernel);
  }
}

/// Partial sums, then their sum: two launches if the segments fit into one.
template <ops::launch::KernelDevice D, class F, class X>
void multi_sum_into(const D& device, double* out, std::span<const Segment<F, X>> segments) {
  std::int64_t count = 0;
  for (const auto& s : segments) count += (s.size + multi_piece - 1) / multi_piece;
  const Tensor<double, D> partial(Shape{count});
  MultiSumKernel<Segment<F, X>> kernel{};
  kernel.partial = partial.data();
  while (!segments.empty()) {
    segments = kernel.pack.fill(segments);
    run_blocks(device, "multi_sum", kernel);
    kernel.partial += kernel.blocks();
  }
  run_blocks(device, "multi_sum", OrderedSumKernel{partial.data(), count, out});
}

/// Synchronizes.
template <ops::launch::KernelDevice D, class F, class X>
double multi_sum(const D& device, std::span<const Segment<F, X>> segments) {
  const Tensor<double, D> out(Shape{1});
  multi_sum_into(device, out.data(), segments);
  return out.item();
}

}  // namespace backend

}  // namespace hypersd::optim
