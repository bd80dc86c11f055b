// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/core/math.hpp>
#include <hypersd/ops/cuda/launch.hpp>
#include <hypersd/ops/functors.hpp>
#include <hypersd/ops/geometry.hpp>

/// \file
/// What the kernels of group normalisation share: how threads are mapped to a group, and the equations.

namespace hypersd::ops::launch {

/// Maps the threads of a thread block to channels and positions of a group: neighbouring threads have neighbouring
/// channels, then neighbouring positions. A thread keeps its channel if the group has no more channels than threads.
struct GroupThreadMap {
  std::int64_t channels;  ///< of the group
  std::int64_t width;     ///< channels in parallel
  std::int64_t lanes;     ///< positions in parallel
  HYPERSD_HD GroupThreadMap(std::int64_t group_channels, int block_threads)
      : channels(group_channels),
        width(channels < block_threads ? channels : block_threads),
        lanes(block_threads / width) {}
  [[nodiscard]] HYPERSD_HD std::int64_t lane(int t) const { return t / width; }
  /// The channel of thread `t` among the `width` from `begin` on; `channels` or more if the thread is idle.
  [[nodiscard]] HYPERSD_HD std::int64_t channel(int t, std::int64_t begin) const {
    return lane(t) < lanes ? begin + t % width : channels;
  }
};

/// Two sums of one thread.
struct Pair {
  double first, second;
};

/// Loads that a thread has in flight: one thread block a group is too low an occupancy to hide the latency otherwise.
inline constexpr int loads_in_flight = 8;

/// Calls use(position, load(position)) for the positions of a lane in `range`, with `unrolled` loads before the first
/// use: the compiler does not reorder them, since `use` may store to an operand.
template <int unrolled, class Load, class Use>
HYPERSD_HD void each_position(std::int64_t lane, std::int64_t lanes, Range range, Load&& load, Use&& use) {
  std::int64_t p = range.begin + lane;
  for (; p + (unrolled - 1) * lanes < range.end; p += unrolled * lanes) {
    decltype(load(p)) values[unrolled];
    for (int k = 0; k < unrolled; ++k) values[k] = load(p + k * lanes);
    for (int k = 0; k < unrolled; ++k) use(p + k * lanes, values[k]);
  }
  for (; p < range.end; p += lanes) use(p, load(p));
}

/// Calls add(position, a, b) for the positions of a lane; the sums are added to double every 64 positions.
template <class T, class F>
HYPERSD_HD Pair lane_sums(std::int64_t lane, std::int64_t lanes, std::int64_t positions, F&& add) {
  Pair out{0, 0};
  for (std::int64_t begin = lane; begin < positions; begin += 64 * lanes) {
    T a = 0, b = 0;
    const std::int64_t far = begin + 64 * lanes, end = far < positions ? far : positions;
    std::int64_t p = begin;
    for (; p + (loads_in_flight - 1) * lanes < end; p += loads_in_flight * lanes)
      for (int k = 0; k < loads_in_flight; ++k) add(p + k * lanes, a, b);
    for (; p < end; p += lanes) add(p, a, b);
    out.first += static_cast<double>(a);
    out.second += static_cast<double>(b);
  }
  return out;
}

/// Shared memory of `group_sums`.
template <int threads>
struct GroupSumsShared {
  double first[threads], second[threads];
};
/// Two sums over a group, in every thread and in a fixed order. part(thread, channel) gives a thread's sums of a
/// channel of the group; share(channel, sums) takes the whole sums of a channel and gives what it adds to those of the
/// group.
template <int threads, class Block, class Part, class Share>
HYPERSD_HD Pair group_sums(Block& block, GroupSumsShared<threads>& shared, const GroupThreadMap& map, Part&& part,
                           Share&& share) {
  typename Block::template Private<Pair> totals;
  block.each([&](int t) { totals[t] = Pair{0, 0}; });
  for (std::int64_t begin = 0; begin < map.channels; begin += map.width) {
    block.each([&](int t) {
      Pair sums{0, 0};
      if (const std::int64_t c = map.channel(t, begin); c < map.channels) sums = part(t, c);
      shared.first[t] = sums.first;
      shared.second[t] = sums.second;
    });
    block.each([&](int t) {
      if (t >= map.width || begin + t >= map.channels) return;
      Pair sums{0, 0};
      for (std::int64_t lane = 0; lane < map.lanes; ++lane) {
        sums.first += shared.first[t + lane * map.width];
        sums.second += shared.second[t + lane * map.width];
      }
      sums = share(begin + t, sums);
      totals[t].first += sums.first;
      totals[t].second += sums.second;
    });
  }
  const double first = block.template sum<double>([&](int t) { return totals[t].first; });
  const double second = block.template sum<double>([&](int t) { return totals[t].second; });
  return {first, second};
}

/// Mean and 1 / standard deviation of a group from the sums of `size` deviations from `pivot` and of their squares.
struct GroupMoments {
  double center, rstd;
  template <class A>
  HYPERSD_HD static GroupMoments of(double sum, double square, A pivot, std::int64_t size, double eps) {
    const double one_over_size = 1.0 / static_cast<double>(size);
    const double shift = sum * one_over_size, unpack_vector = (square - shift * sum) * one_over_size;
    return {static_cast<double>(pivot) + shift,
            A(1) / math::sqrt(static_cast<A>((unpack_vector > 0 ? unpack_vector : 0) + eps))};
  }
};

/// Gradient of an element before the activation, and its normalised value.
template <class A>
struct InnerGradient {
  A gradient, xhat;
};
/// From the gradient `gy` behind act(slope xhat + offset), xhat = r x + m.
template <Activation activation, class A>
HYPERSD_HD InnerGradient<A> inner_gradient(A gy, A x, A slope, A offset, A r, A m) {
  const A xhat = r * x + m;
  if constexpr (activation == Activation::silu) gy *= Silu{}.template d<0>(slope * xhat + offset);
  return {gy, xhat};
}
/// Coefficients of gx = rstd gamma g + along x + constant for the gradient g before the activation, from the group's
/// sums of gamma g and of gamma g xhat.
template <class A>
struct GroupSlope {
  A along, constant;
  HYPERSD_HD static GroupSlope of(double sum, double product, A mean, A rstd, std::int64_t size) {
    const double wide = static_cast<double>(rstd), one_over_size = 1.0 / static_cast<double>(size);
    const double slope = -wide * wide * product * one_over_size;
    return {static_cast<A>(slope), static_cast<A>(-wide * sum * one_over_size - slope * static_cast<double>(mean))};
  }
};

}  // namespace hypersd::ops::launch
