// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cuda/group_norm/common.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>

/// \file
/// Group normalisation of large feature maps in three launches: sums of each channel over chunks of positions, the
/// statistics of each group, and the result. A group's few channels are not contiguous in memory; a chunk has all
/// channels, so that accesses are coalesced, and there are enough thread blocks for a GPU even with one sample.

namespace hypersd::ops::launch {

/// The chunks of a feature map: thread block i has chunk i % count of sample i / count, a thread `vector_width`
/// neighbouring channels of it.
struct GroupChunks {
  static constexpr int threads = 256, vector_width = 4;
  static constexpr int unrolled = 4;  ///< loads that a thread has in flight
  GroupNormGeometry g;
  std::int64_t count;

  /// Few enough that their sums are negligible beside the feature map, enough for all multiprocessors of a large GPU.
  explicit GroupChunks(const GroupNormGeometry& geometry) : g(geometry) {
    const std::int64_t most = std::max<std::int64_t>(1, 1056 / std::max<std::int64_t>(1, g.batch));
    const std::int64_t least =
        std::max<std::int64_t>(8 * threads * vector_width, 16 * g.channels);  // elements of a chunk
    count = std::clamp<std::int64_t>(g.positions * g.channels / least, 1, most);
  }
  /// True if this is the faster way: groups too large for one thread block, and channels that can be vectorized.
  template <class T>
  [[nodiscard]] static bool fits(const GroupNormGeometry& g, std::initializer_list<const T*> data) {
    return sizeof(T) <= 4 && g.channels % vector_width == 0 && g.positions * g.per_group() >= 4096 &&
           vector_aligned<vector_width>(data);
  }

  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return g.batch * count; }
  [[nodiscard]] HYPERSD_HD GroupThreadMap thread_map() const {
    return GroupThreadMap(g.channels / vector_width, threads);
  }
  [[nodiscard]] HYPERSD_HD Range positions(std::int64_t i) const { return part(g.positions, count, i % count); }
  /// Offset of an element of x.
  [[nodiscard]] HYPERSD_HD std::int64_t at(std::int64_t sample, std::int64_t position, std::int64_t channel) const {
    return (sample * g.positions + position) * g.channels + channel;
  }
  /// Index of a channel's group among those of all samples.
  [[nodiscard]] HYPERSD_HD std::int64_t group(std::int64_t sample, std::int64_t channel) const {
    return sample * g.groups + channel / g.per_group();
  }
};

/// Two sums of each channel over a chunk, [batch, chunks, channels, 2]. `Terms` has prepare(sample, channel), the
/// coefficients of a thread's channels, load(offset), and add(coefficients, loaded, first, second).
template <class T, class Terms>
struct GroupChunkSums {
  using A = Accumulator<T>;
  static constexpr int threads = GroupChunks::threads, vector_width = GroupChunks::vector_width;
  struct Shared {
    A first[threads * vector_width], second[threads * vector_width];
  };
  GroupChunks chunks;
  Terms terms;
  A* sums;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return chunks.blocks(); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const std::int64_t sample = i / chunks.count, channels = chunks.g.channels;
    const GroupThreadMap map = chunks.thread_map();
    for (std::int64_t first_channel = 0; first_channel < map.channels; first_channel += map.width) {
      block.each([&](int t) {
        double first[vector_width] = {}, second[vector_width] = {};
        if (const std::int64_t c = map.channel(t, first_channel) * vector_width; c < channels) {
          const auto coefficients = terms.prepare(sample, c);
          const Range all = chunks.positions(i);
          // Sums are added to double every 64 positions of a lane.
          for (std::int64_t begin = all.begin; begin < all.end; begin += 64 * map.lanes) {
            A a[vector_width] = {}, b[vector_width] = {};
            const Range some{begin, begin + 64 * map.lanes < all.end ? begin + 64 * map.lanes : all.end};
            each_position<GroupChunks::unrolled>(
                map.lane(t), map.lanes, some, [&](std::int64_t p) { return terms.load(chunks.at(sample, p, c)); },
                [&](std::int64_t, const auto& loaded) { terms.add(coefficients, loaded, a, b); });
            for (int e = 0; e < vector_width; ++e) {
              first[e] += static_cast<double>(a[e]);
              second[e] += static_cast<double>(b[e]);
            }
          }
        }
        for (int e = 0; e < vector_width; ++e) {
          shared.first[e * threads + t] = static_cast<A>(first[e]);
          shared.second[e * threads + t] = static_cast<A>(second[e]);
        }
      });
      block.each([&](int t) {
        if (t >= map.width || first_channel + t >= map.channels) return;
        A out[2 * vector_width];
        for (int e = 0; e < vector_width; ++e) {
          double first = 0, second = 0;
          for (std::int64_t lane = 0; lane < map.lanes; ++lane) {
            first += static_cast<double>(shared.first[e * threads + t + lane * map.width]);
            second += static_cast<double>(shared.second[e * threads + t + lane * map.width]);
          }
          out[2 * e] = static_cast<A>(first);
          out[2 * e + 1] = static_cast<A>(second);
        }
        A* to = sums + 2 * (i * channels + (first_channel + t) * vector_width);
        store_vectorized<vector_width>(out, to);
        store_vectorized<vector_width>(out + vector_width, to + vector_width);
      });
    }
  }
};

/// Sums of each channel over the chunks, then of a group: a thread block a group. `Finish` takes them:
/// channel(sample, channel, sums) gives what a channel adds to its group, group(i, sample, first channel, sums).
template <class A, class Finish>
struct GroupTotals {
  static constexpr int threads = 256;
  using Shared = GroupSumsShared<threads>;
  GroupChunks chunks;
  const A* sums;
  Finish finish;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return chunks.g.batch * chunks.g.groups; }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const GroupNormGeometry& g = chunks.g;
    const std::int64_t sample = i / g.groups, first = i % g.groups * g.per_group();
    const GroupThreadMap map(g.per_group(), threads);
    const Pair totals = group_sums(
        block, shared, map,
        [&](int t, std::int64_t c) {
          Pair part{0, 0};
          for (std::int64_t k = map.lane(t); k < chunks.count; k += map.lanes) {
            const A* from = sums + 2 * ((sample * chunks.count + k) * g.channels + first + c);
            part.first += static_cast<double>(from[0]);
            part.second += static_cast<double>(from[1]);
          }
          return part;
        },
        [&](std::int64_t c, const Pair& all) { return finish.channel(sample, first + c, all); });
    block.each([&](int t) {
      if (t == 0) finish.group(i, sample, first, totals);
    });
  }
};

/// A pass over all elements: `Apply` has prepare(sample, channel), load(offset) and store(coefficients, loaded,
/// offset).
template <class Apply>
struct GroupChunkPass {
  static constexpr int threads = GroupChunks::threads, vector_width = GroupChunks::vector_width;
  using Shared = NoShared;
  GroupChunks chunks;
  Apply apply;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return chunks.blocks(); }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared&) const {
    const std::int64_t sample = i / chunks.count;
    const GroupThreadMap map = chunks.thread_map();
    block.each_unsynchronized([&](int t) {
      for (std::int64_t v = map.channel(t, 0); v < map.channels; v += map.width) {
        const std::int64_t c = v * vector_width;
        const auto coefficients = apply.prepare(sample, c);
        each_position<GroupChunks::unrolled>(
            map.lane(t), map.lanes, chunks.positions(i),
            [&](std::int64_t p) { return apply.load(chunks.at(sample, p, c)); },
            [&](std::int64_t p, const auto& loaded) { apply.store(coefficients, loaded, chunks.at(sample, p, c)); });
      }
    });
  }
};

/// One number for each channel of a thread.
template <class A>
struct GroupNumbers {
  A v[GroupChunks::vector_width];
};
/// Those of a parameter [C], or `other` if it is null.
template <class T>
HYPERSD_HD GroupNumbers<Accumulator<T>> group_numbers(const T* parameter, std::int64_t channel, Accumulator<T> other) {
  GroupNumbers<Accumulator<T>> out;
  if (parameter)
    load_vectorized<GroupChunks::vector_width>(parameter + channel, out.v);
  else
    for (auto& v : out.v) v = other;
  return out;
}
template <class T>
using GroupVector = Vector<GroupChunks::vector_width* static_cast<int>(sizeof(T))>;
template <class T>
HYPERSD_HD GroupVector<T> load_group_vector(const T* p) {
  return load_vector<GroupChunks::vector_width* static_cast<int>(sizeof(T))>(p);
}

/// `Terms` of the statistics: deviations from the group's first element, and their squares.
template <class T>
struct DeviationTerms {
  using A = Accumulator<T>;
  GroupChunks chunks;
  const T* x;
  [[nodiscard]] HYPERSD_HD A pivot(std::int64_t sample, std::int64_t channel) const {
    return x[chunks.at(sample, 0, channel / chunks.g.per_group() * chunks.g.per_group())];
  }
  [[nodiscard]] HYPERSD_HD GroupNumbers<A> prepare(std::int64_t sample, std::int64_t c) const {
    GroupNumbers<A> out;
    for (int e = 0; e < GroupChunks::vector_width; ++e) out.v[e] = pivot(sample, c + e);
    return out;
  }
  [[nodiscard]] HYPERSD_HD GroupVector<T> load(std::int64_t j) const { return load_group_vector(x + j); }
  HYPERSD_HD void add(const GroupNumbers<A>& pivots, const GroupVector<T>& loaded, A* first, A* second) const {
    A v[GroupChunks::vector_width];
    unpack_vector<T>(loaded, v);
    for (int e = 0; e < GroupChunks::vector_width; ++e) {
      const A d = v[e] - pivots.v[e];
      first[e] += d;
      second[e] += d * d;
    }
  }
};
template <class T>
struct MomentsFinish {
  using A = Accumulator<T>;
  DeviationTerms<T> terms;
  double eps;
  A *mean, *rstd;
  HYPERSD_HD static Pair channel(std::int64_t, std::int64_t, const Pair& all) { return all; }
  HYPERSD_HD void group(std::int64_t i, std::int64_t sample, std::int64_t first, const Pair& totals) const {
    const auto& g = terms.chunks.g;
    const auto moments =
        GroupMoments::of<A>(totals.first, totals.second, terms.pivot(sample, first), g.positions * g.per_group(), eps);
    mean[i] = static_cast<A>(moments.center);
    rstd[i] = static_cast<A>(moments.rstd);
  }
};
template <class T, Activation activation>
struct NormalizeApply {
  using A = Accumulator<T>;
  GroupChunks chunks;
  const T *x, *gamma, *beta;
  const A *mean, *rstd;
  T* y;
  struct Coefficients {
    GroupNumbers<A> slope, offset;
  };
  [[nodiscard]] HYPERSD_HD Coefficients prepare(std::int64_t sample, std::int64_t c) const {
    Coefficients out{group_numbers(gamma, c, A(1)), group_numbers(beta, c, A(0))};
    for (int e = 0; e < GroupChunks::vector_width; ++e) {
      const std::int64_t group = chunks.group(sample, c + e);
      out.slope.v[e] *= rstd[group];
      out.offset.v[e] -= mean[group] * out.slope.v[e];
    }
    return out;
  }
  [[nodiscard]] HYPERSD_HD GroupVector<T> load(std::int64_t j) const { return load_group_vector(x + j); }
  HYPERSD_HD void store(const Coefficients& k, const GroupVector<T>& loaded, std::int64_t j) const {
    A v[GroupChunks::vector_width];
    unpack_vector<T>(loaded, v);
    for (int e = 0; e < GroupChunks::vector_width; ++e) {
      v[e] = k.slope.v[e] * v[e] + k.offset.v[e];
      if constexpr (activation == Activation::silu) v[e] = Silu{}(v[e]);
    }
    store_vectorized<GroupChunks::vector_width>(v, y + j);
  }
};

/// The three launches.
template <class T, Activation activation, class D>
void group_norm_chunked(const D& device, const GroupNormGeometry& g, const T* x, const T* gamma, const T* beta,
                        double eps, T* y, Accumulator<T>* mean, Accumulator<T>* rstd) {
  using A = Accumulator<T>;
  const GroupChunks chunks(g);
  const Tensor<A, D> sums(Shape{chunks.blocks(), g.channels, 2});
  const DeviationTerms<T> terms{chunks, x};
  run_blocks(device, "group_norm", GroupChunkSums<T, DeviationTerms<T>>{chunks, terms, sums.data()});
  run_blocks(device, "group_norm", GroupTotals<A, MomentsFinish<T>>{chunks, sums.data(), {terms, eps, mean, rstd}});
  using Apply = NormalizeApply<T, activation>;
  run_blocks(device, "group_norm", GroupChunkPass<Apply>{chunks, {chunks, x, gamma, beta, mean, rstd, y}});
}

}  // namespace hypersd::ops::launch
