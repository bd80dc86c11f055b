// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <span>

/// \file
/// Data-parallel training. Several processes ("ranks") hold the same network. Each takes its slice of every batch, and
/// gradients are averaged. The communicator is a policy: `Single`, `Mpi` (dist/mpi.hpp), `Nccl` (dist/nccl.cuh), or an
/// own type.

namespace hypersd::dist {

/// How a reduction joins the values of the ranks.
enum class Reduce {
  sum,  ///< the sum over the ranks
  mean  ///< the sum divided by the number of ranks
};

/// `rank()`, from 0, and `size()`, the number of ranks.
template <class C>
concept HasRank = requires(const C& c) {
  { c.rank() } -> std::same_as<int>;
  { c.size() } -> std::same_as<int>;
};
/// `all_reduce(span, how)`: element i becomes the sum or mean of the ranks' elements i, bitwise the same on all ranks.
template <class C, class T>
concept ReducesSpanOf = requires(C& c, std::span<T> values) {
  c.all_reduce(values, Reduce::mean);
};
/// `broadcast(bytes, root)`: copies the bytes of rank `root` to all ranks; their number is the same on each.
template <class C>
concept Broadcasts = requires(C& c, std::span<std::byte> bytes) {
  c.broadcast(bytes, 0);
};
/// `barrier()`: returns when all ranks have called it.
template <class C>
concept HasBarrier = requires(C& c) {
  c.barrier();
};

/// Collective operations of the ranks of a job. All ranks make the same calls in the same order, with spans of equal
/// length. A failure is a CommunicationError that names the rank.
template <class C>
concept Communicator =
    HasRank<C> && ReducesSpanOf<C, float> && ReducesSpanOf<C, double> && Broadcasts<C> && HasBarrier<C>;

/// A communicator that also reduces device memory in place, in the order of the thread's stream:
/// `all_reduce_device(pointer, elements, how)`.
template <class C>
concept DeviceCommunicator = Communicator<C> && requires(C& c, float* f, double* d) {
  c.all_reduce_device(f, std::int64_t{}, Reduce::mean);
  c.all_reduce_device(d, std::int64_t{}, Reduce::mean);
};

/// The communicator of a single process; its operations do nothing.
struct Single {
  [[nodiscard]] constexpr int rank() const { return 0; }
  [[nodiscard]] constexpr int size() const { return 1; }
  template <class T>
  constexpr void all_reduce(std::span<T>, Reduce) const {}
  constexpr void broadcast(std::span<std::byte>, int) const {}
  constexpr void barrier() const {}
};
static_assert(Communicator<Single>);

/// The part of a batch that one rank takes: samples [first, first + count).
struct Slice {
  std::int64_t first = 0;  ///< first sample
  std::int64_t count = 0;  ///< number of samples
  bool operator==(const Slice&) const = default;
};

/// The slice of a global batch of `batch` samples for the rank of `c`. Slices are equal and in order of rank, so that
/// the mean of the ranks' mean losses is the mean over the batch. Throws OptionError unless the number of ranks divides
/// `batch`.
template <HasRank C>
Slice slice(const C& c, std::int64_t batch) {
  require<OptionError>(batch >= c.size() && batch % c.size() == 0, "a batch of ", batch, " samples cannot be cut into ",
                       c.size(), " equal parts, one for each rank");
  return {c.rank() * (batch / c.size()), batch / c.size()};
}

/// Calls f(begin, length) for consecutive pieces of [0, n), each at most `most` long, for interfaces that count in int.
template <class F>
void in_pieces(std::int64_t n, std::int64_t most, F&& f) {
  for (std::int64_t begin = 0; begin < n; begin += most) f(begin, n - begin < most ? n - begin : most);
}

}  // namespace hypersd::dist
