// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/tensor.hpp>
#include <hypersd/ops/cuda/group_norm.hpp>
#include <hypersd/ops/cuda/vectorized.hpp>

/// \file
/// Group normalisation of large maps in three launches: sums of each channel over chunks of positions, what they come
/// to for a group, and the result. A group's few channels lie apart in memory; a chunk has all channels, so that whole
/// sectors of memory are moved, and there are blocks enough for a GPU even for one sample.

namespace hypersd::ops::launch {

/// How a map is cut: block i has chunk i % count of sample i / count, a thread `together` neighbouring channels of it.
struct GroupChunks {
  static constexpr int threads = 256, together = 4;
  static constexpr int ahead = 4;  ///< reads of a thread under way
  GroupNormGeometry g;
  std::int64_t count;

  /// Few enough that their sums are next to nothing beside the map, enough for all multiprocessors of a large GPU.
  explicit GroupChunks(const GroupNormGeometry& geometry) : g(geometry) {
    const std::int64_t most = std::max<std::int64_t>(1, 1056 / std::max<std::int64_t>(1, g.batch));
    const std::int64_t least = std::max<std::int64_t>(8 * threads * together, 16 * g.channels);  // elements of a chunk
    count = std::clamp<std::int64_t>(g.positions * g.channels / least, 1, most);
  }
  /// Whether this is the better way: groups too large for one block, and channels that can be read together.
  template <class T>
  [[nodiscard]] static bool fits(const GroupNormGeometry& g, std::initializer_list<const T*> data) {
    return sizeof(T) <= 4 && g.channels % together == 0 && g.positions * g.per_group() >= 4096 &&
           together_at<together>(data);
  }

  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return g.batch * count; }
  [[nodiscard]] HYPERSD_HD GroupWalk walk() const { return GroupWalk(g.channels / together, threads); }
  [[nodiscard]] HYPERSD_HD Range positions(std::int64_t i) const { return part(g.positions, count, i % count); }
  /// Offset of a sample's position and a thread's channels.
  [[nodiscard]] HYPERSD_HD std::int64_t at(std::int64_t sample, std::int64_t position, std::int64_t channel) const {
    return (sample * g.positions + position) * g.channels + channel;
  }
  /// Place of a group's mean and its like.
  [[nodiscard]] HYPERSD_HD std::int64_t group(std::int64_t sample, std::int64_t channel) const {
    return sample * g.groups + channel / g.per_group();
  }
};

/// Sums of a chunk: two of each channel, [batch, chunks, channels, 2]. `Terms` says of what: prepare(sample, channel)
/// gives what a thread keeps for its channels, read(offset) the words of a position, add(kept, words, first, second).
template <class T, class Terms>
struct GroupChunkSums {
  using A = Accumulator<T>;
  static constexpr int threads = GroupChunks::threads, together = GroupChunks::together;
  struct Shared {
    A first[threads * together], second[threads * together];
  };
  GroupChunks chunks;
  Terms terms;
  A* sums;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return chunks.blocks(); }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const std::int64_t sample = i / chunks.count, channels = chunks.g.channels;
    const GroupWalk walk = chunks.walk();
    for (std::int64_t turn = 0; turn < walk.per; turn += walk.width) {
      block.each([&](int t) {
        double first[together] = {}, second[together] = {};
        if (const std::int64_t c = walk.channel(t, turn) * together; c < channels) {
          const auto kept = terms.prepare(sample, c);
          const Range all = chunks.positions(i);
          // Sums move on to double every 64 positions of a lane.
          for (std::int64_t begin = all.begin; begin < all.end; begin += 64 * walk.lanes) {
            A a[together] = {}, b[together] = {};
            const Range some{begin, begin + 64 * walk.lanes < all.end ? begin + 64 * walk.lanes : all.end};
            each_position<GroupChunks::ahead>(
                walk.lane(t), walk.lanes, some, [&](std::int64_t p) { return terms.read(chunks.at(sample, p, c)); },
                [&](std::int64_t, const auto& words) { terms.add(kept, words, a, b); });
            for (int e = 0; e < together; ++e) {
              first[e] += static_cast<double>(a[e]);
              second[e] += static_cast<double>(b[e]);
            }
          }
        }
        for (int e = 0; e < together; ++e) {
          shared.first[e * threads + t] = static_cast<A>(first[e]);
          shared.second[e * threads + t] = static_cast<A>(second[e]);
        }
      });
      block.each([&](int t) {
        if (t >= walk.width || turn + t >= walk.per) return;
        A out[2 * together];
        for (int e = 0; e < together; ++e) {
          double first = 0, second = 0;
          for (std::int64_t lane = 0; lane < walk.lanes; ++lane) {
            first += static_cast<double>(shared.first[e * threads + t + lane * walk.width]);
            second += static_cast<double>(shared.second[e * threads + t + lane * walk.width]);
          }
          out[2 * e] = static_cast<A>(first);
          out[2 * e + 1] = static_cast<A>(second);
        }
        A* to = sums + 2 * (i * channels + (turn + t) * together);
        write_together<together>(out, to);
        write_together<together>(out + together, to + together);
      });
    }
  }
};

/// Sums of each channel over the chunks, then of a group: a block each. `Finish` takes them.
template <class A, class Finish>
struct GroupTotals {
  static constexpr int threads = 256;
  struct Shared {
    double first[threads], second[threads];
  };
  GroupChunks chunks;
  const A* sums;
  Finish finish;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return chunks.g.batch * chunks.g.groups; }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const GroupNormGeometry& g = chunks.g;
    const std::int64_t sample = i / g.groups, begin = i % g.groups * g.per_group();
    const GroupWalk walk(g.per_group(), threads);
    typename Block::template Private<Pair> totals;
    block.each([&](int t) { totals[t] = Pair{0, 0}; });
    for (std::int64_t turn = 0; turn < walk.per; turn += walk.width) {
      block.each([&](int t) {
        Pair part{0, 0};
        if (const std::int64_t c = walk.channel(t, turn); c < walk.per)
          for (std::int64_t k = walk.lane(t); k < chunks.count; k += walk.lanes) {
            const A* from = sums + 2 * ((sample * chunks.count + k) * g.channels + begin + c);
            part.first += static_cast<double>(from[0]);
            part.second += static_cast<double>(from[1]);
          }
        shared.first[t] = part.first;
        shared.second[t] = part.second;
      });
      block.each([&](int t) {
        if (t >= walk.width || turn + t >= walk.per) return;
        Pair all{0, 0};
        for (std::int64_t lane = 0; lane < walk.lanes; ++lane) {
          all.first += shared.first[t + lane * walk.width];
          all.second += shared.second[t + lane * walk.width];
        }
        const Pair share = finish.channel(sample, begin + turn + t, all);
        totals[t].first += share.first;
        totals[t].second += share.second;
      });
    }
    const double first = block.template sum<double>([&](int t) { return totals[t].first; });
    const double second = block.template sum<double>([&](int t) { return totals[t].second; });
    block.each([&](int t) {
      if (t == 0) finish.group(i, sample, begin, first, second);
    });
  }
};

/// What a pass over all elements does: `Apply` has prepare(sample, channel), read(offset), write(kept, words, offset).
template <class Apply>
struct GroupChunkPass {
  static constexpr int threads = GroupChunks::threads, together = GroupChunks::together;
  struct Shared {};
  GroupChunks chunks;
  Apply apply;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return chunks.blocks(); }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared&) const {
    const std::int64_t sample = i / chunks.count;
    const GroupWalk walk = chunks.walk();
    block.alone([&](int t) {
      for (std::int64_t v = walk.channel(t, 0); v < walk.per; v += walk.width) {
        const std::int64_t c = v * together;
        const auto kept = apply.prepare(sample, c);
        each_position<GroupChunks::ahead>(
            walk.lane(t), walk.lanes, chunks.positions(i),
            [&](std::int64_t p) { return apply.read(chunks.at(sample, p, c)); },
            [&](std::int64_t p, const auto& words) { apply.write(kept, words, chunks.at(sample, p, c)); });
      }
    });
  }
};

/// Numbers of a thread's channels.
template <class A>
struct GroupNumbers {
  A v[GroupChunks::together];
};
/// Those of a parameter, or `other` where it is none.
template <class T>
HYPERSD_HD GroupNumbers<Accumulator<T>> group_numbers(const T* parameter, std::int64_t channel, Accumulator<T> other) {
  GroupNumbers<Accumulator<T>> out;
  if (parameter)
    read_together<GroupChunks::together>(parameter + channel, out.v);
  else
    for (auto& v : out.v) v = other;
  return out;
}
template <class T>
using GroupWord = Word<GroupChunks::together* static_cast<int>(sizeof(T))>;
template <class T>
HYPERSD_HD GroupWord<T> group_word(const T* p) {
  return load_word<GroupChunks::together* static_cast<int>(sizeof(T))>(p);
}

/// Deviations from the group's first element, and their squares.
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
    for (int e = 0; e < GroupChunks::together; ++e) out.v[e] = pivot(sample, c + e);
    return out;
  }
  [[nodiscard]] HYPERSD_HD GroupWord<T> read(std::int64_t j) const { return group_word(x + j); }
  HYPERSD_HD void add(const GroupNumbers<A>& pivots, const GroupWord<T>& word, A* first, A* second) const {
    A v[GroupChunks::together];
    spread<T>(word, v);
    for (int e = 0; e < GroupChunks::together; ++e) {
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
  HYPERSD_HD void group(std::int64_t i, std::int64_t sample, std::int64_t begin, double first, double second) const {
    const auto& g = terms.chunks.g;
    const auto moments =
        GroupMoments::of<A>(first, second, terms.pivot(sample, begin), g.positions * g.per_group(), eps);
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
  struct Kept {
    GroupNumbers<A> slope, offset;
  };
  [[nodiscard]] HYPERSD_HD Kept prepare(std::int64_t sample, std::int64_t c) const {
    Kept out{group_numbers(gamma, c, A(1)), group_numbers(beta, c, A(0))};
    for (int e = 0; e < GroupChunks::together; ++e) {
      const std::int64_t group = chunks.group(sample, c + e);
      out.slope.v[e] *= rstd[group];
      out.offset.v[e] -= mean[group] * out.slope.v[e];
    }
    return out;
  }
  [[nodiscard]] HYPERSD_HD GroupWord<T> read(std::int64_t j) const { return group_word(x + j); }
  HYPERSD_HD void write(const Kept& k, const GroupWord<T>& word, std::int64_t j) const {
    A v[GroupChunks::together];
    spread<T>(word, v);
    for (int e = 0; e < GroupChunks::together; ++e) {
      v[e] = k.slope.v[e] * v[e] + k.offset.v[e];
      if constexpr (activation == Activation::silu) v[e] = Silu{}(v[e]);
    }
    write_together<GroupChunks::together>(v, y + j);
  }
};

/// The three launches.
template <class T, Activation activation, class D>
void group_norm_in_chunks(const D& device, const GroupNormGeometry& g, const T* x, const T* gamma, const T* beta,
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
