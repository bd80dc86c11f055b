// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <hypersd/core/error.hpp>
#include <span>

/// \file
/// Data-parallel training: several processes ("ranks") hold the same network, each takes its share of every batch, and
/// gradients are averaged. How they talk is a policy: `Single`, `Mpi` (dist/mpi.hpp), `Nccl` (dist/nccl.cuh), or yours.

namespace hypersd::dist {

/// What becomes of the ranks' values.
enum class Reduce {
  sum,
  mean  ///< the sum divided by the number of ranks
};

/// Knows its number, and how many there are.
template <class C>
concept HasRank = requires(const C& c) {
  { c.rank() } -> std::same_as<int>;
  { c.size() } -> std::same_as<int>;
};
/// `all_reduce(span, how)`: element i becomes the sum or mean over the ranks of their elements i, bit for bit the same
/// on all.
template <class C, class T>
concept ReducesSpanOf = requires(C& c, std::span<T> values) {
  c.all_reduce(values, Reduce::mean);
};
/// `broadcast(bytes, root)`: all ranks get rank `root`'s bytes; as many on each.
template <class C>
concept Broadcasts = requires(C& c, std::span<std::byte> bytes) {
  c.broadcast(bytes, 0);
};
/// `barrier()`: returns when all ranks have called it.
template <class C>
concept HasBarrier = requires(C& c) {
  c.barrier();
};

/// How the ranks of a job talk. All ranks make the same calls in the same order, with spans of equal length. A failure
/// is a CommunicationError that names the rank.
template <class C>
concept Communicator =
    HasRank<C> && ReducesSpanOf<C, float> && ReducesSpanOf<C, double> && Broadcasts<C> && HasBarrier<C>;

/// A communicator that can also reduce memory of its device in place, in the order of the device's stream:
/// `all_reduce_device(pointer, elements, how)`.
template <class C>
concept DeviceCommunicator = Communicator<C> && requires(C& c, float* f, double* d) {
  c.all_reduce_device(f, std::int64_t{}, Reduce::mean);
  c.all_reduce_device(d, std::int64_t{}, Reduce::mean);
};

/// One process: nothing to do.
struct Single {
  [[nodiscard]] constexpr int rank() const { return 0; }
  [[nodiscard]] constexpr int size() const { return 1; }
  template <class T>
  constexpr void all_reduce(std::span<T>, Reduce) const {}
  constexpr void broadcast(std::span<std::byte>, int) const {}
  constexpr void barrier() const {}
};
static_assert(Communicator<Single>);

/// A rank's part of a batch: samples [first, first + count) of it.
struct Slice {
  std::int64_t first = 0, count = 0;
  bool operator==(const Slice&) const = default;
};

/// The part of a global batch of `batch` samples that `c`'s rank takes: equal parts in order of rank, so that the mean
/// over ranks of their mean losses is the mean over the batch. Throws OptionError unless the ranks divide the batch.
template <HasRank C>
Slice slice(const C& c, std::int64_t batch) {
  require<OptionError>(batch >= c.size() && batch % c.size() == 0, "a batch of ", batch, " samples cannot be cut into ",
                       c.size(), " equal parts, one for each rank");
  return {c.rank() * (batch / c.size()), batch / c.size()};
}

/// Calls f(begin, length) for [0, n) in pieces of at most `most`: interfaces that count in int take no more at once.
template <class F>
void in_pieces(std::int64_t n, std::int64_t most, F&& f) {
  for (std::int64_t begin = 0; begin < n; begin += most) f(begin, n - begin < most ? n - begin : most);
}

}  // namespace hypersd::dist
