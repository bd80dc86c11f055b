// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cpu/group_norm.hpp>
#include <hypersd/ops/cuda/launch.hpp>

/// \file
/// Group normalisation with a thread block for each sample and group, written as ops/cuda/rows.hpp says.

namespace hypersd::ops::launch {

/// Which channels and positions of a group a thread goes through: neighbouring threads take neighbouring channels, then
/// neighbouring positions, and a thread stays with its channel as long as the group has fewer channels than threads.
struct GroupWalk {
  std::int64_t per, width, lanes;  ///< channels of the group; of one turn; positions at a time
  HYPERSD_HD GroupWalk(std::int64_t channels, int threads)
      : per(channels), width(channels < threads ? channels : threads), lanes(threads / width) {}
  [[nodiscard]] HYPERSD_HD std::int64_t lane(int t) const { return t / width; }
  /// The thread's channel of the turn that begins at channel `begin`; `per` or more: none.
  [[nodiscard]] HYPERSD_HD std::int64_t channel(int t, std::int64_t begin) const {
    return lane(t) < lanes ? begin + t % width : per;
  }
};

/// Sums of one thread.
struct Pair {
  double first, second;
};

/// Reads of a thread under way at a time: a block a group leaves a device few threads to hide the memory's latency.
inline constexpr int reads_ahead = 8;

/// Calls use(position, read(position)) for the positions of a lane in `range`; `ahead` reads before the first use: the
/// compiler cannot tell what that writes from an operand.
template <int ahead, class Read, class Use>
HYPERSD_HD void each_position(std::int64_t lane, std::int64_t lanes, Range range, Read&& read, Use&& use) {
  std::int64_t p = range.begin + lane;
  for (; p + (ahead - 1) * lanes < range.end; p += ahead * lanes) {
    decltype(read(p)) values[ahead];
    for (int k = 0; k < ahead; ++k) values[k] = read(p + k * lanes);
    for (int k = 0; k < ahead; ++k) use(p + k * lanes, values[k]);
  }
  for (; p < range.end; p += lanes) use(p, read(p));
}

/// Calls add(position, a, b) for the positions of a lane; the sums move on to double every 64 of them.
template <class T, class F>
HYPERSD_HD Pair lane_sums(std::int64_t lane, std::int64_t lanes, std::int64_t positions, F&& add) {
  Pair out{0, 0};
  for (std::int64_t begin = lane; begin < positions; begin += 64 * lanes) {
    T a = 0, b = 0;
    const std::int64_t far = begin + 64 * lanes, end = far < positions ? far : positions;
    std::int64_t p = begin;
    for (; p + (reads_ahead - 1) * lanes < end; p += reads_ahead * lanes)
      for (int k = 0; k < reads_ahead; ++k) add(p + k * lanes, a, b);
    for (; p < end; p += lanes) add(p, a, b);
    out.first += static_cast<double>(a);
    out.second += static_cast<double>(b);
  }
  return out;
}

/// Mean and 1 / standard deviation of a group from the sums of `size` deviations from `pivot` and of their squares.
struct GroupMoments {
  double center, rstd;
  template <class A>
  HYPERSD_HD static GroupMoments of(double sum, double square, A pivot, std::int64_t size, double eps) {
    const double one_over_size = 1.0 / static_cast<double>(size);
    const double shift = sum * one_over_size, spread = (square - shift * sum) * one_over_size;
    return {static_cast<double>(pivot) + shift, A(1) / math::sqrt(static_cast<A>((spread > 0 ? spread : 0) + eps))};
  }
};

/// An element of the result before and of the gradient behind the activation, in the terms of its gradient.
template <class A>
struct InnerGradient {
  A gradient, xhat;
};
/// Gradient of an element before the activation, and its normalised value r x + m.
template <Activation activation, class A>
HYPERSD_HD InnerGradient<A> inner_gradient(A gy, A x, A slope, A offset, A r, A m) {
  const A xhat = r * x + m;
  if constexpr (activation == Activation::silu) gy *= Silu{}.template d<0>(slope * xhat + offset);
  return {gy, xhat};
}
/// gx = rstd gamma gradient + along x + constant, from the group's sums of gamma gradient and of gamma gradient xhat.
template <class A>
struct GroupSlope {
  A along, constant;
  HYPERSD_HD static GroupSlope of(double sum, double product, A mean, A rstd, std::int64_t size) {
    const double wide = static_cast<double>(rstd), one_over_size = 1.0 / static_cast<double>(size);
    const double slope = -wide * wide * product * one_over_size;
    return {static_cast<A>(slope), static_cast<A>(-wide * sum * one_over_size - slope * static_cast<double>(mean))};
  }
};

/// Mean and variance from sums of deviations from the group's first element, then y = act(gamma xhat + beta).
template <class T, Activation activation>
struct GroupNormBlock {
  static constexpr int threads = 256;
  struct Shared {};
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
    const GroupWalk walk(g.per_group(), threads);
    const T* from = x + begin;
    T* to = y + begin;
    const A pivot = from[0];
    typename Block::template Private<Pair> sums;
    block.each([&](int t) {
      Pair total{0, 0};
      for (std::int64_t c = walk.channel(t, 0); c < walk.per; c += walk.width) {
        const Pair part = lane_sums<A>(walk.lane(t), walk.lanes, g.positions, [&](std::int64_t p, A& s, A& q) {
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
    const auto moments = GroupMoments::of<A>(sum, square, pivot, g.positions * walk.per, eps);
    const A inverse = static_cast<A>(moments.rstd), offset = static_cast<A>(-moments.center) * inverse;
    block.each([&](int t) {
      if (t == 0) {
        mean[i] = static_cast<A>(moments.center);
        rstd[i] = inverse;
      }
      for (std::int64_t c = walk.channel(t, 0); c < walk.per; c += walk.width) {
        const std::int64_t channel = group * walk.per + c;
        const A slope = gamma ? A(gamma[channel]) : A(1);
        const A a = inverse * slope, b = offset * slope + (beta ? A(beta[channel]) : A(0));
        each_position<reads_ahead>(
            walk.lane(t), walk.lanes, {0, g.positions}, [&](std::int64_t p) { return from[p * g.channels + c]; },
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

/// Gradients of a group: sums of each channel first, which are the shares in those of gamma and beta, then of the
/// group, then gx, for which the gradient before the activation is computed once more: cheaper than storing it, and
/// nothing is rounded twice.
template <class T, Activation activation>
struct GroupNormGradientBlock {
  static constexpr int threads = 256;
  struct Shared {
    double sum[threads], product[threads];
  };
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
    const GroupWalk walk(g.per_group(), threads);
    const A r = rstd[i], m = -r * mean[i];
    typename Block::template Private<Pair> sums;
    block.each([&](int t) { sums[t] = Pair{0, 0}; });
    for (std::int64_t turn = 0; turn < walk.per; turn += walk.width) {
      block.each([&](int t) {
        Pair part{0, 0};
        const std::int64_t c = walk.channel(t, turn);
        if (c < walk.per) {
          const A slope = gamma_of(first + c), offset = beta_of(first + c);
          part = lane_sums<A>(walk.lane(t), walk.lanes, g.positions, [&](std::int64_t at, A& s, A& q) {
            const auto e = inner(read(begin + at * g.channels + c), slope, offset, r, m);
            s += e.gradient;
            q += e.gradient * e.xhat;
          });
        }
        shared.sum[t] = part.first;
        shared.product[t] = part.second;
      });
      block.each([&](int t) {
        if (t >= walk.width || turn + t >= walk.per) return;
        const std::int64_t channel = first + turn + t;
        double s = 0, p = 0;
        for (std::int64_t lane = 0; lane < walk.lanes; ++lane) {
          s += shared.sum[t + lane * walk.width];
          p += shared.product[t + lane * walk.width];
        }
        if (gamma_parts) {
          gamma_parts[b * g.channels + channel] = static_cast<A>(p);
          beta_parts[b * g.channels + channel] = static_cast<A>(s);
        }
        sums[t].first += static_cast<double>(gamma_of(channel)) * s;
        sums[t].second += static_cast<double>(gamma_of(channel)) * p;
      });
    }
    const double s = block.template sum<double>([&](int t) { return sums[t].first; });
    const double p = block.template sum<double>([&](int t) { return sums[t].second; });
    const auto line = GroupSlope<A>::of(s, p, mean[i], r, g.positions * walk.per);
    block.each([&](int t) {
      for (std::int64_t c = walk.channel(t, 0); c < walk.per; c += walk.width) {
        const A slope_of_c = gamma_of(first + c), offset = beta_of(first + c), a = r * slope_of_c;
        each_position<reads_ahead>(
            walk.lane(t), walk.lanes, {0, g.positions},
            [&](std::int64_t at) { return read(begin + at * g.channels + c); },
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
  [[nodiscard]] HYPERSD_HD Element read(std::int64_t j) const { return {gy[j], x[j]}; }
  [[nodiscard]] HYPERSD_HD A gamma_of(std::int64_t channel) const { return gamma ? A(gamma[channel]) : A(1); }
  [[nodiscard]] HYPERSD_HD A beta_of(std::int64_t channel) const { return beta ? A(beta[channel]) : A(0); }
  [[nodiscard]] HYPERSD_HD static InnerGradient<A> inner(const Element& e, A slope, A offset, A r, A m) {
    return inner_gradient<activation>(widened(e.gy), widened(e.x), slope, offset, r, m);
  }
};

}  // namespace hypersd::ops::launch
