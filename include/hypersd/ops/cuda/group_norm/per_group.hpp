// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/group_norm/common.hpp>
#include <hypersd/ops/cuda/thread_block.hpp>

/// \file
/// Group normalisation and its gradients with a thread block for each sample and group.

namespace hypersd::ops::launch {

/// Mean and variance from the sums of deviations from the group's first element, then y = act(gamma xhat + beta).
template <class T, Activation activation>
struct GroupNormKernel {
  static constexpr int threads = 256;
  using Shared = NoShared;
  using A = Accumulator<T>;
  GroupNormGeometry g;
  const T *x, *gamma, *beta;
  double eps;
  T* y;
  A *mean, *rstd;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return g.batch * g.groups; }
  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared&) const {
    const std::int64_t group = i % g.groups, begin = i / g.groups * g.sample() + group * g.per_group();
    const GroupThreadMap map(g.per_group(), threads);
    const T* from = x + begin;
    T* to = y + begin;
    const A pivot = from[0];
    typename Block::template Private<Pair> sums;
    block.each([&](int t) {
      Pair total{0, 0};
      for (std::int64_t c = map.channel(t, 0); c < map.channels; c += map.width) {
        const Pair part = lane_sums<A>(map.lane(t), map.lanes, g.positions, [&](std::int64_t p, A& s, A& q) {
          const A d = from[p * g.channels + c] - pivot;
          s += d;
          q += d * d;
        });
        total.first += part.first;
        total.second += part.second;
      }
      sums[t] = total;
    });
    const double sum = block.template sum<double>([&](int t) { return sums[t].first; });
    const double square = block.template sum<double>([&](int t) { return sums[t].second; });
    const auto moments = GroupMoments::of<A>(sum, square, pivot, g.positions * map.channels, eps);
    const A inverse = static_cast<A>(moments.rstd), offset = static_cast<A>(-moments.center) * inverse;
    block.each([&](int t) {
      if (t == 0) {
        mean[i] = static_cast<A>(moments.center);
        rstd[i] = inverse;
      }
      for (std::int64_t c = map.channel(t, 0); c < map.channels; c += map.width) {
        const std::int64_t channel = group * map.channels + c;
        const A slope = gamma ? A(gamma[channel]) : A(1);
        const A a = inverse * slope, b = offset * slope + (beta ? A(beta[channel]) : A(0));
        each_position<loads_in_flight>(
            map.lane(t), map.lanes, {0, g.positions}, [&](std::int64_t p) { return from[p * g.channels + c]; },
            [&](std::int64_t p, T value) {
              const A z = a * value + b;
              if constexpr (activation == Activation::silu)
                to[p * g.channels + c] = converted<T>(Silu{}(z));
              else
                to[p * g.channels + c] = converted<T>(z);
            });
      }
    });
  }
};

/// Gradients of a group: sums of each channel first, which are this sample's parts of the gradients of gamma and beta,
/// then of the group, then gx. The gradient before the activation is recomputed for gx: cheaper than storing it, and
/// nothing is rounded twice.
template <class T, Activation activation>
struct GroupNormGradientKernel {
  static constexpr int threads = 256;
  using Shared = GroupSumsShared<threads>;
  using A = Accumulator<T>;
  GroupNormGeometry g;
  const T *gy, *x, *gamma, *beta;
  const A *mean, *rstd;
  T* gx;
  A *gamma_parts, *beta_parts;
  [[nodiscard]] HYPERSD_HD std::int64_t blocks() const { return g.batch * g.groups; }

  template <class Block>
  HYPERSD_HD void operator()(Block& block, std::int64_t i, Shared& shared) const {
    const std::int64_t b = i / g.groups, first = i % g.groups * g.per_group(), begin = b * g.sample() + first;
    const GroupThreadMap map(g.per_group(), threads);
    const A r = rstd[i], m = -r * mean[i];
    const Pair sums = group_sums(
        block, shared, map,
        [&](int t, std::int64_t c) {
          const A slope = gamma_of(first + c), offset = beta_of(first + c);
          return lane_sums<A>(map.lane(t), map.lanes, g.positions, [&](std::int64_t at, A& s, A& q) {
            const auto e = inner(load(begin + at * g.channels + c), slope, offset, r, m);
            s += e.gradient;
            q += e.gradient * e.xhat;
          });
        },
        [&](std::int64_t c, const Pair& all) {
          if (gamma_parts) {
            gamma_parts[b * g.channels + first + c] = static_cast<A>(all.second);
            beta_parts[b * g.channels + first + c] = static_cast<A>(all.first);
          }
          const auto slope = static_cast<double>(gamma_of(first + c));
          return Pair{slope * all.first, slope * all.second};
        });
    const auto line = GroupSlope<A>::of(sums.first, sums.second, mean[i], r, g.positions * map.channels);
    block.each([&](int t) {
      for (std::int64_t c = map.channel(t, 0); c < map.channels; c += map.width) {
        const A slope_of_c = gamma_of(first + c), offset = beta_of(first + c), a = r * slope_of_c;
        each_position<loads_in_flight>(
            map.lane(t), map.lanes, {0, g.positions},
            [&](std::int64_t at) { return load(begin + at * g.channels + c); },
            [&](std::int64_t at, const Element& e) {
              const A gradient = inner(e, slope_of_c, offset, r, m).gradient;
              gx[begin + at * g.channels + c] = converted<T>(a * gradient + (line.along * e.x + line.constant));
            });
      }
    });
  }

 private:
  struct Element {
    T gy, x;
  };
  [[nodiscard]] HYPERSD_HD Element load(std::int64_t j) const { return {gy[j], x[j]}; }
  [[nodiscard]] HYPERSD_HD A gamma_of(std::int64_t channel) const { return gamma ? A(gamma[channel]) : A(1); }
  [[nodiscard]] HYPERSD_HD A beta_of(std::int64_t channel) const { return beta ? A(beta[channel]) : A(0); }
  [[nodiscard]] HYPERSD_HD static InnerGradient<A> inner(const Element& e, A slope, A offset, A r, A m) {
    return inner_gradient<activation>(widened(e.gy), widened(e.x), slope, offset, r, m);
  }
};

}  // namespace hypersd::ops::launch
