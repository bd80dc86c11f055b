// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <hypersd/core/device.hpp>
#include <hypersd/core/parallel.hpp>
#include <span>
#include <utility>
#include <vector>

namespace hypersd::optim {

/// Arrays of equal length, of element types `X`, that one update goes through together (parameter, gradient, moments),
/// with its functor: f(x[i]...). A functor may have `skipped()`, true if nothing is to be done, and `resolved()`, the
/// functor of the elements, for which memory is then read once.
template <class F, class... X>
struct Segment {
  void* data[sizeof...(X)];
  std::int64_t size;
  F f;
};

namespace detail {

template <class F, class... X, class Loop, std::size_t... K>
HYPERSD_HD void with_arrays(const Segment<F, X...>& s, Loop&& loop, std::index_sequence<K...>) {
  if constexpr (requires(const F& f) { f.resolved(); })
    loop(s.f.resolved(), static_cast<X*>(s.data[K])...);
  else
    loop(s.f, static_cast<X*>(s.data[K])...);
}

}  // namespace detail

/// Calls loop(f, x...) with the arrays of `s` and the functor of their elements, unless the update is skipped.
template <class F, class... X, class Loop>
HYPERSD_HD void with_arrays(const Segment<F, X...>& s, Loop&& loop) {
  if constexpr (requires(const F& f) { f.skipped(); }) {
    if (s.f.skipped()) return;
  }
  detail::with_arrays(s, loop, std::index_sequence_for<X...>{});
}

/// f(x[i]...) for every `stride`-th i of [begin, end).
template <std::int64_t stride>
struct ElementLoop {
  std::int64_t begin, end;
  template <class F, class... X>
  HYPERSD_HD void operator()(const F& f, X*... x) const {
    for (std::int64_t i = begin; i < end; i += stride) f(x[i]...);
  }
};

namespace backend {

namespace detail {

/// Elements of a task: a few microseconds at memory bandwidth.
inline constexpr std::int64_t multi_tensor_chunk = 16384;

/// Offsets of the segments in their concatenation, and its size.
template <class S>
std::vector<std::int64_t> offsets_of(std::span<const S> segments) {
  std::vector<std::int64_t> offsets{0};
  for (const S& s : segments) offsets.push_back(offsets.back() + s.size);
  return offsets;
}

/// Calls piece(segment, begin, end) for the parts of [begin, end) of the concatenation.
template <class S, class Piece>
void for_each_piece(std::span<const S> segments, const std::vector<std::int64_t>& offsets, std::int64_t begin,
                    std::int64_t end, Piece&& piece) {
  auto i = static_cast<std::size_t>(std::upper_bound(offsets.begin(), offsets.end(), begin) - offsets.begin()) - 1;
  for (; begin < end; ++i) {
    const std::int64_t stop = std::min(end, offsets[i + 1]);
    if (stop > begin) piece(segments[i], begin - offsets[i], stop - offsets[i]);
    begin = std::max(begin, stop);
  }
}

}  // namespace detail

/// f(x[i]...) for every element of every segment, as one parallel loop over the concatenation: many small tensors cost
/// no more than one large one.
template <class F, class... X>
void multi_update(const Cpu&, std::span<const Segment<F, X...>> segments) {
  const auto offsets = detail::offsets_of(segments);
  parallel_for(offsets.back(), detail::multi_tensor_chunk, [&](std::int64_t begin, std::int64_t end) {
    detail::for_each_piece(segments, offsets, begin, end, [](const auto& s, std::int64_t from, std::int64_t to) {
      with_arrays(s, ElementLoop<1>{from, to});
    });
  });
}

/// Sum of f(data[0][i]) over all elements of all segments, in double and in an order that the sizes alone fix.
template <class F, class X>
double multi_sum(const Cpu&, std::span<const Segment<F, X>> segments) {
  constexpr std::int64_t lanes = 16, grain = detail::multi_tensor_chunk;
  const auto offsets = detail::offsets_of(segments);
  std::vector<double> partial(static_cast<std::size_t>((offsets.back() + grain - 1) / grain), 0.0);
  parallel_for(offsets.back(), grain, [&](std::int64_t begin, std::int64_t end) {
    double total = 0;
    detail::for_each_piece(segments, offsets, begin, end, [&](const auto& s, std::int64_t from, std::int64_t to) {
      const X* x = static_cast<const X*>(s.data[0]);
      double acc[lanes] = {};
      std::int64_t i = from;
      for (; i + lanes <= to; i += lanes)
        for (std::int64_t l = 0; l < lanes; ++l) acc[l] += s.f(x[i + l]);
      for (; i < to; ++i) acc[0] += s.f(x[i]);
      for (const double a : acc) total += a;
    });
    partial[static_cast<std::size_t>(begin / grain)] = total;
  });
  double total = 0;
  for (const double p : partial) total += p;
  return total;
}

/// The same, written to `out`.
template <class F, class X>
void multi_sum_into(const Cpu& cpu, double* out, std::span<const Segment<F, X>> segments) {
  *out = multi_sum(cpu, segments);
}

}  // namespace backend

}  // namespace hypersd::optim
