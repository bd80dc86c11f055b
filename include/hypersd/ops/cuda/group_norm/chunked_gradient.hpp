// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hypersd/ops/cuda/group_norm/chunked.hpp>

/// \file
/// Gradients of the group normalisation of ops/cuda/group_norm/chunked.hpp, in three launches too.

namespace hypersd::ops::launch {

/// `Terms` of the gradients: the gradient before the activation, and its product with the normalised value.
template <class T, Activation activation>
struct GradientTerms {
  using A = Accumulator<T>;
  GroupChunks chunks;
  const T *gy, *x, *gamma, *beta;
  const A *mean, *rstd;
  struct Coefficients {
    GroupNumbers<A> slope, offset, r, m;
  };
  struct Loaded {
    GroupVector<T> gy, x;
  };
  [[nodiscard]] HYPERSD_HD A gamma_of(std::int64_t channel) const { return gamma ? A(gamma[channel]) : A(1); }
  [[nodiscard]] HYPERSD_HD Coefficients prepare(std::int64_t sample, std::int64_t c) const {
    Coefficients out{group_numbers(gamma, c, A(1)), group_numbers(beta, c, A(0)), {}, {}};
    for (int e = 0; e < GroupChunks::vector_width; ++e) {
      const std::int64_t group = chunks.group(sample, c + e);
      out.r.v[e] = rstd[group];
      out.m.v[e] = -rstd[group] * mean[group];
    }
    return out;
  }
  [[nodiscard]] HYPERSD_HD Loaded load(std::int64_t j) const {
    return {load_group_vector(gy + j), load_group_vector(x + j)};
  }
  /// Calls f(e, x, inner gradient) for the elements of a position.
  template <class F>
  HYPERSD_HD static void each(const Coefficients& k, const Loaded& loaded, F&& f) {
    A outer[GroupChunks::vector_width], v[GroupChunks::vector_width];
    unpack_vector<T>(loaded.gy, outer);
    unpack_vector<T>(loaded.x, v);
    for (int e = 0; e < GroupChunks::vector_width; ++e)
      f(e, v[e], inner_gradient<activation>(outer[e], v[e], k.slope.v[e], k.offset.v[e], k.r.v[e], k.m.v[e]));
  }
  HYPERSD_HD void add(const Coefficients& k, const Loaded& loaded, A* first, A* second) const {
    each(k, loaded, [&](int e, A, const InnerGradient<A>& inner) {
      first[e] += inner.gradient;
      second[e] += inner.gradient * inner.xhat;
    });
  }
};
/// The parts of a sample in the gradients of gamma and beta, and the coefficients of a group.
template <class T, Activation activation>
struct GradientFinish {
  using A = Accumulator<T>;
  GradientTerms<T, activation> terms;
  GroupSlope<A>* lines;
  A *gamma_parts, *beta_parts;
  HYPERSD_HD Pair channel(std::int64_t sample, std::int64_t channel, const Pair& all) const {
    if (gamma_parts) {
      gamma_parts[sample * terms.chunks.g.channels + channel] = static_cast<A>(all.second);
      beta_parts[sample * terms.chunks.g.channels + channel] = static_cast<A>(all.first);
    }
    const double slope = static_cast<double>(terms.gamma_of(channel));
    return {slope * all.first, slope * all.second};
  }
  HYPERSD_HD void group(std::int64_t i, std::int64_t, std::int64_t, const Pair& totals) const {
    const auto& g = terms.chunks.g;
    lines[i] =
        GroupSlope<A>::of(totals.first, totals.second, terms.mean[i], terms.rstd[i], g.positions * g.per_group());
  }
};
template <class T, Activation activation>
struct GradientApply {
  using A = Accumulator<T>;
  using Terms = GradientTerms<T, activation>;
  Terms terms;
  const GroupSlope<A>* lines;
  T* gx;
  struct Coefficients {
    typename Terms::Coefficients of;
    GroupNumbers<A> along, constant;
  };
  [[nodiscard]] HYPERSD_HD Coefficients prepare(std::int64_t sample, std::int64_t c) const {
    Coefficients out{terms.prepare(sample, c), {}, {}};
    for (int e = 0; e < GroupChunks::vector_width; ++e) {
      const GroupSlope<A> line = lines[terms.chunks.group(sample, c + e)];
      out.along.v[e] = line.along;
      out.constant.v[e] = line.constant;
    }
    return out;
  }
  [[nodiscard]] HYPERSD_HD typename Terms::Loaded load(std::int64_t j) const { return terms.load(j); }
  HYPERSD_HD void store(const Coefficients& k, const typename Terms::Loaded& loaded, std::int64_t j) const {
    A out[GroupChunks::vector_width];
    Terms::each(k.of, loaded, [&](int e, A v, const InnerGradient<A>& inner) {
      out[e] = k.of.r.v[e] * k.of.slope.v[e] * inner.gradient + (k.along.v[e] * v + k.constant.v[e]);
    });
    store_vectorized<GroupChunks::vector_width>(out, gx + j);
  }
};

/// The three launches.
template <class T, Activation activation, class D>
void group_norm_gradient_chunked(const D& device, const GroupNormGeometry& g, const T* gy, const T* x, const T* gamma,
                                 const T* beta, const Accumulator<T>* mean, const Accumulator<T>* rstd, T* gx,
                                 Accumulator<T>* gamma_parts, Accumulator<T>* beta_parts) {
  using A = Accumulator<T>;
  using Terms = GradientTerms<T, activation>;
  const GroupChunks chunks(g);
  const Tensor<A, D> sums(Shape{chunks.blocks(), g.channels, 2}), numbers(Shape{g.batch, g.groups, 2});
  auto* const lines = reinterpret_cast<GroupSlope<A>*>(numbers.data());
  const Terms terms{chunks, gy, x, gamma, beta, mean, rstd};
  run_blocks(device, "group_norm_gradient", GroupChunkSums<T, Terms>{chunks, terms, sums.data()});
  run_blocks(
      device, "group_norm_gradient",
      GroupTotals<A, GradientFinish<T, activation>>{chunks, sums.data(), {terms, lines, gamma_parts, beta_parts}});
  run_blocks(device, "group_norm_gradient", GroupChunkPass<GradientApply<T, activation>>{chunks, {terms, lines, gx}});
}

}  // namespace hypersd::ops::launch
